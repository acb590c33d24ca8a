"""Base class of augmentations, and shared helper functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.spec import Classes, Image, NoTarget, Spec, Values


class Augmentation(ABC):
    """Transforms a training batch before it is standardized. The class attributes ``inputs`` and ``targets`` name the
    compatible types.

    Images are bytes, or floats from 0 to 1. Augmentations that only move or replace pixels keep the dtype; those that
    compute new values return floats, with bytes scaled to [0, 1].
    """

    inputs: ClassVar[Any] = Image
    targets: ClassVar[Any] = Classes | Values | NoTarget
    compact: ClassVar[bool] = False
    """Whether it is applied to the compact form of a batch, such as the samples of a recording, before inputs are
    computed from it."""

    @abstractmethod
    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        """Returns the augmented batch. Tensors that change are new; the given ones are not modified.

        Args:
            batch: inputs, such as images of shape ``(batch, channels, height, width)``, with their targets.
            generator: the source of randomness, on the device of the batch.
            spec: the spec of the data set.
        """


def uniform(low: float, high: float, images: Tensor, generator: Generator) -> Tensor:
    """Draws a number between ``low`` and ``high`` for each image: ``(batch,)``, on the device of the images."""
    return torch.rand(len(images), generator=generator, device=images.device).mul_(high - low).add_(low)


def as_floats(inputs: Tensor) -> Tensor:
    """Converts inputs to floats. Bytes are scaled to [0, 1]; floats are returned unchanged."""
    if inputs.dtype == torch.uint8:
        return inputs.float().div_(255)
    return inputs if inputs.is_floating_point() else inputs.float()


def constant_like(constant: Tensor, images: Tensor) -> Tensor:
    """Converts a constant to the dtype and the device of the images, without synchronization."""
    return constant.to(images.dtype).to(images.device, non_blocking=True)


def check_scalar(name: str, value: float, most: float = 1) -> float:
    """Returns the value of a setting. Raises ``InputError`` unless it is from 0 to ``most``."""
    if not 0 <= value <= most:
        raise InputError(f"{name} must be from 0 to {most}, not {value}")
    return value


def check_range(name: str, values: tuple[float, float], most: float | None = None) -> tuple[float, float]:
    """Returns the bounds of a range. Raises ``InputError`` unless they are ascending, above 0 and at most ``most``."""
    low, high = values
    if not 0 < low <= high or (most is not None and high > most):
        limit = "above 0" if most is None else f"above 0 and at most {most}"
        raise InputError(f"{name} must be two ascending numbers, {limit}, not {list(values)}")
    return low, high
