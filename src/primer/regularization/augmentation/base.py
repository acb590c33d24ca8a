"""The base of every augmentation, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.spec import Classes, Image, NoTarget, Spec, Values


class Augmentation(ABC):
    """Takes a training batch before it is standardised and gives another one. The types that it suits are named as
    ``inputs`` and ``targets``.

    Images are bytes, or floats from 0 to 1. What only moves or replaces pixels keeps their type; what computes new
    ones gives floats, in which bytes count as parts of 255.
    """

    inputs: ClassVar[Any] = Image
    targets: ClassVar[Any] = Classes | Values | NoTarget

    @abstractmethod
    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        """The augmented batch, in new tensors where anything changes.

        Args:
            batch: images of shape ``(batch, channels, height, width)`` with their targets.
            generator: the source of all chance, on the device of the batch.
            spec: what the data set says of itself.
        """


def uniform(low: float, high: float, images: Tensor, generator: Generator) -> Tensor:
    """A number between ``low`` and ``high`` for each image: ``(batch,)``, on the device of the images."""
    return torch.rand(len(images), generator=generator, device=images.device).mul_(high - low).add_(low)


def as_floats(inputs: Tensor) -> Tensor:
    """Bytes as parts of 255; floats as they are, and other numbers as floats."""
    if inputs.dtype == torch.uint8:
        return inputs.float().div_(255)
    return inputs if inputs.is_floating_point() else inputs.float()


def like(constant: Tensor, images: Tensor) -> Tensor:
    """A constant with the type of the images, on their device; the device is not waited for."""
    return constant.to(images.dtype).to(images.device, non_blocking=True)


def check_share(name: str, value: float, most: float = 1) -> float:
    """The value of a setting. Raises ``InputError`` unless it is from 0 to ``most``."""
    if not 0 <= value <= most:
        raise InputError(f"{name} must be from 0 to {most}, not {value}")
    return value


def check_range(name: str, values: tuple[float, float], most: float | None = None) -> tuple[float, float]:
    """The two ends of a range. Raises ``InputError`` unless they are in order, above 0 and at most ``most``."""
    low, high = values
    if not 0 < low <= high or (most is not None and high > most):
        limit = "above 0" if most is None else f"above 0 and at most {most}"
        raise InputError(f"{name} must be two numbers in order, {limit}, not {list(values)}")
    return low, high
