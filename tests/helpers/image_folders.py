"""What the tests of folders of pictures share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from torch import Tensor

from primer.data.images.image_folder import ImageFolder
from primer.errors import InputError

Make = Callable[..., ImageFolder]


def draw(number: int, height: int = 12, width: int = 10) -> Pictures.Image:
    """Noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Pictures.fromarray(pixels)


def fill(folder: Path, count: int, first: int = 0, kind: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        draw(number).save(folder / f"{number:03}.{kind}")


def inputs(data: ImageFolder, part: Any = "train") -> Tensor:
    """The bytes of a part."""
    return data.parts[part].select(slice(None)).inputs


def targets(data: ImageFolder, part: Any = "train") -> list[int]:
    labels = data.parts[part].select(slice(None)).targets
    assert labels is not None
    return labels.tolist()


def refusal(make: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)
