"""Helpers for the tests of image folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from torch import Tensor

from primer.data.images.image_folder import ImageFolder
from primer.errors import InputError

Make = Callable[..., ImageFolder]


def draw(number: int, height: int = 12, width: int = 10) -> PILImage.Image:
    """Returns an image of random noise, seeded by ``number``."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PILImage.fromarray(pixels)


def fill(folder: Path, count: int, first: int = 0, kind: str = "png") -> None:
    """Writes ``count`` images to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        draw(number).save(folder / f"{number:03}.{kind}")


def inputs(data: ImageFolder, part: Any = "train") -> Tensor:
    """Returns the images of a part as bytes."""
    return data.parts[part].select(slice(None)).inputs


def targets(data: ImageFolder, part: Any = "train") -> list[int]:
    """Returns the class indices of a part."""
    labels = data.parts[part].select(slice(None)).targets
    assert labels is not None
    return labels.tolist()


def refusal(make: Callable[[], Any]) -> str:
    """Checks that a call is rejected and returns the message, which must be a single line."""
    with pytest.raises(InputError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)
