"""Changes to training images that keep their label: on the whole batch, on its device, each sample with parameters
of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.spec import Classes, Image, NextToken, Nothing, Sequence, Series, Tags, Tokens, Values, Vector


class Augmentation(ABC):
    """Takes a training batch before it is standardised and gives another one. The types that it suits are named as
    ``inputs`` and ``targets``."""

    inputs: ClassVar[Any] = Image
    targets: ClassVar[Any] = Classes | Values | Nothing

    @abstractmethod
    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The augmented batch; all chance comes from ``generator``, which is on the device of the batch."""


class NoAugmentation(Augmentation):
    """Leaves every batch as it is."""

    inputs = Image | Vector | Series | Tokens
    targets = Classes | Values | Tags | Sequence | NextToken | Nothing

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        return batch


class Flip(Augmentation):
    """Mirrors images left to right.

    Args:
        probability: of each image to be mirrored.
    """

    def __init__(self, probability: float = 0.5) -> None:
        if not 0 <= probability <= 1:
            raise InputError(f"the probability of a flip must be from 0 to 1, not {probability}")
        self.probability = probability

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        chance = torch.rand(batch.size, generator=generator, device=batch.inputs.device)
        mirrored = (chance < self.probability).view(-1, 1, 1, 1)
        return batch._replace(inputs=torch.where(mirrored, batch.inputs.flip(-1), batch.inputs))


class CropFlip(Augmentation):
    """Mirrors images, then shifts them by whole pixels and fills up with black: what cropping a padded image does.

    Args:
        padding: the largest shift to each side, in pixels.
        probability: of each image to be mirrored.
    """

    def __init__(self, padding: int = 4, probability: float = 0.5) -> None:
        if padding < 0:
            raise InputError(f"the padding of a crop must be at least 0, not {padding}")
        self.padding, self.flip = padding, Flip(probability)

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        images = self.flip(batch, generator).inputs
        return batch._replace(inputs=shift(images, self.padding, generator))


def shift(images: Tensor, most: int, generator: Generator) -> Tensor:
    """``(batch, channels, height, width)`` images, each moved by up to ``most`` pixels to any side."""
    size, _, height, width = images.shape
    padded = F.pad(images, (most,) * 4)
    corners = torch.randint(0, 2 * most + 1, (2, size), generator=generator, device=images.device)
    rows = corners[0].view(-1, 1, 1) + torch.arange(height, device=images.device).view(1, -1, 1)
    columns = corners[1].view(-1, 1, 1) + torch.arange(width, device=images.device).view(1, 1, -1)
    samples = torch.arange(size, device=images.device).view(-1, 1, 1)
    return padded[samples, :, rows, columns].permute(0, 3, 1, 2).contiguous()
