"""Handling of small images: choosing a stem, checking that every layer has an output, padding and enlarging."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from primer.errors import InputError
from primer.models.layers.validation import check_choice
from primer.spec import Image

Stem = Literal["auto", "small", "published"]

MAX_SMALL_SIDE = 64
"""Largest image side for which ``auto`` chooses the stem for small images."""

MapSizes = Callable[[int], dict[str, int]]
"""Maps the side of an image to the side of the feature maps after each layer that shrinks them."""


def stem_for(image: Image, stem: str) -> str:
    """Resolves ``auto`` to ``small`` or ``published`` by the size of the image.

    Raises:
        InputError: if the stem is unknown.
    """
    check_choice("stem", stem, ("auto", "small", "published"))
    if stem != "auto":
        return stem
    return "small" if max(image.height, image.width) <= MAX_SMALL_SIDE else "published"


def resolve_input_size(
    model: str, image: Image, map_sizes: MapSizes, resize: bool, min_side: int | None = None
) -> tuple[int, list[int]]:
    """Computes the minimum side of a model's inputs, and the height and width of its inputs after resizing.

    Args:
        model: name of the model, for the error message.
        image: images of the data set.
        map_sizes: computes the sizes of the model's feature maps.
        resize: whether smaller images are padded or enlarged to the minimum side; otherwise the minimum is 1, and
            images that are too small are an error.
        min_side: minimum side; by default the smallest one for which every layer has an output.

    Raises:
        InputError: if a layer would have an empty output.
    """
    smallest = smallest_side(map_sizes)
    minimum = (min_side or smallest) if resize else 1
    sides = [max(side, minimum) for side in (image.height, image.width)]
    for side in sides:
        sizes = map_sizes(side)
        if min(sizes.values()) < 1:
            listed = ", ".join(f"{name} {max(size, 0)}" for name, size in sizes.items())
            raise InputError(
                f"an image with a side of {side} pixels is too small for {model}: the sides of its feature maps would "
                f"be {listed}; use at least {smallest} pixels, or model.resize=true to pad or enlarge smaller images"
            )
    return minimum, sides


def smallest_side(map_sizes: MapSizes) -> int:
    """Returns the smallest image side for which every layer has an output."""
    return next(side for side in count(1) if min(map_sizes(side).values()) >= 1)


def pad_or_enlarge(images: Tensor, min_side: int) -> Tensor:
    """Resizes ``(batch, channels, height, width)`` images so that both sides are at least ``min_side``.

    Images that lack at most an eighth of it are padded by repeating the edge, which leaves all pixels unchanged.
    Smaller images are enlarged by bilinear interpolation.
    """
    height, width = images.shape[-2:]
    target = max(height, min_side), max(width, min_side)
    if target == (height, width):
        return images
    if min(height, width) < min_side * 7 / 8:
        return F.interpolate(images, target, mode="bilinear", align_corners=False)
    rows, columns = target[0] - height, target[1] - width
    padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return F.pad(images, padding, mode="replicate")
