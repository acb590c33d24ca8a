"""Images in the form that trained weights expect."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from primer.errors import InputError
from primer.regularization.augmentation.color import YIQ
from primer.spec import Image


def presentation(native: Image, wanted: Image) -> Callable[[Tensor], Tensor] | None:
    """A function that gives raw images another number of channels and another size; None where both are as wanted.

    Grey becomes colour by three equal channels, colour becomes grey by its luma. Sizes change bilinearly, with
    antialiasing where they shrink, and without regard to the aspect. The result of bytes is in [0, 1].

    Raises:
        ValueError: for any other change of channels.
    """
    if (native.channels, native.height, native.width) == (wanted.channels, wanted.height, wanted.width):
        return None
    if native.channels != wanted.channels and {native.channels, wanted.channels} != {1, 3}:
        raise InputError(f"images of {native.channels} channels cannot be shown as images of {wanted.channels}")
    luma = YIQ[0].view(1, 3, 1, 1)

    def convert(images: Tensor) -> Tensor:
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        if native.channels > wanted.channels:
            images = (images * luma.to(images)).sum(1, keepdim=True)
        if (native.height, native.width) != (wanted.height, wanted.width):
            size = (wanted.height, wanted.width)
            images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return images.expand(-1, wanted.channels, -1, -1) if native.channels < wanted.channels else images

    return convert
