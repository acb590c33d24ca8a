"""Images that are too small for a network: refused by the arithmetic of its layers, or enlarged."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from primer.errors import InputError
from primer.spec import Image

Stem = Literal["auto", "small", "published"]

SMALL = 64
"""The largest side of an image for which ``auto`` takes the stem for small images."""

MapSizes = Callable[[int], dict[str, int]]
"""The side of the maps after each layer that shrinks them, from that of the image."""


def stem_for(image: Image, stem: str) -> str:
    """``small`` or ``published``: what ``stem`` says, or by the image's size. Raises ``ValueError`` for another."""
    if stem not in ("auto", "small", "published"):
        raise InputError(f"stem must be auto, small or published, not {stem!r}")
    if stem != "auto":
        return stem
    return "small" if max(image.height, image.width) <= SMALL else "published"


def usable_sides(
    model: str, image: Image, map_sizes: MapSizes, resize: bool, field: int | None = None
) -> tuple[int, list[int]]:
    """The least side that the layers of a model are given, and the height and width that they see of an image.

    Args:
        model: its name.
        image: what the data set offers.
        map_sizes: the arithmetic of the layers.
        resize: whether smaller sides are enlarged to the least one; otherwise it is 1, and they are refused.
        field: the least side; that of which every layer leaves something by default.

    Raises:
        ValueError: for the first side of which a layer would leave nothing.
    """
    enough = smallest_side(map_sizes)
    least = (field or enough) if resize else 1
    sides = [max(side, least) for side in (image.height, image.width)]
    for side in sides:
        sizes = map_sizes(side)
        if min(sizes.values()) < 1:
            left = ", ".join(f"{name} {max(size, 0)}" for name, size in sizes.items())
            raise InputError(
                f"an image with a side of {side} pixels is too small for {model}: its maps would have sides of {left}; "
                f"{enough} pixels are enough, and model.resize=true enlarges what is smaller"
            )
    return least, sides


def smallest_side(map_sizes: MapSizes) -> int:
    """The least side of an image of which every layer leaves something."""
    return next(side for side in count(1) if min(map_sizes(side).values()) >= 1)


def enlarged(images: Tensor, side: int) -> Tensor:
    """``(batch, channels, height, width)`` images whose sides are at least ``side``.

    What lacks an eighth of it or less is padded by repeating the edge, so that no pixel changes; what is smaller is
    enlarged bilinearly.
    """
    height, width = images.shape[-2:]
    wanted = max(height, side), max(width, side)
    if wanted == (height, width):
        return images
    if min(height, width) < side * 7 / 8:
        return F.interpolate(images, wanted, mode="bilinear", align_corners=False)
    more = wanted[0] - height, wanted[1] - width
    edges = (more[1] // 2, more[1] - more[1] // 2, more[0] // 2, more[0] - more[0] // 2)
    return F.pad(images, edges, mode="replicate")
