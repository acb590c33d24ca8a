"""Converts images to the format that pretrained weights expect."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from primer.errors import InputError
from primer.regularization.augmentation.color import YIQ
from primer.spec import Image


def image_converter(native: Image, target: Image) -> Callable[[Tensor], Tensor] | None:
    """Returns a function that changes the channels and the size of raw images, or None if both already match.

    Grayscale images are repeated over three channels; color images are reduced to their luma. Images are resized
    bilinearly, with antialiasing when they shrink, and without keeping the aspect ratio. Bytes are scaled to [0, 1].

    Raises:
        InputError: for any other change of channels.
    """
    if (native.channels, native.height, native.width) == (target.channels, target.height, target.width):
        return None
    if native.channels != target.channels and {native.channels, target.channels} != {1, 3}:
        raise InputError(
            f"images with {native.channels} channels cannot be converted to {target.channels}: only 1 to 3 and 3 to 1"
        )
    luma = YIQ[0].view(1, 3, 1, 1)

    def convert(images: Tensor) -> Tensor:
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        if native.channels > target.channels:
            images = (images * luma.to(images)).sum(1, keepdim=True)
        if (native.height, native.width) != (target.height, target.width):
            size = (target.height, target.width)
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return images.expand(-1, target.channels, -1, -1) if native.channels < target.channels else images

    return convert
