"""Geometric augmentation: flips, shifts and rotations."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, check_range, check_scalar, uniform
from primer.spec import Spec


class Flip(Augmentation):
    """Flips images horizontally.

    Args:
        probability: probability of flipping, per image.

    Raises:
        InputError: if ``probability`` is not from 0 to 1.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_scalar("Flip: probability", probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = batch.inputs
        flipped = uniform(0, 1, images, generator) < self.probability
        both, index = torch.cat([images, images.flip(-1)]), torch.arange(batch.size, device=images.device)
        # Copy whole images: several times as fast as torch.where over all pixels.
        return batch._replace(inputs=both.index_select(0, index + batch.size * flipped))


class Shift(Augmentation):
    """Shifts images by whole pixels and fills with black, like a random crop of the padded image (He et al. 2016,
    section 4.2).

    Args:
        padding: maximum shift in each direction, in pixels; drawn uniformly.

    Raises:
        InputError: if ``padding`` is negative.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 0:
            raise InputError(f"Shift: padding must be at least 0, not {padding}")
        self.padding = padding

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, positions = batch.inputs, 2 * self.padding + 1
        size, _, height, width = images.shape
        corners = torch.randint(0, positions, (2, size), generator=generator, device=images.device)
        # A view of all crops of the padded images: only the selected crops are copied, row by row.
        crops = F.pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return batch._replace(inputs=crops[torch.arange(size, device=images.device), :, corners[0], corners[1]])


class Rotate(Augmentation):
    """Rotates and scales images about their center with bilinear interpolation, and fills with black.

    Args:
        degrees: maximum angle in either direction; drawn uniformly.
        scale: minimum and maximum scale factor, drawn uniformly; factors above 1 enlarge the image.

    Raises:
        InputError: if ``degrees`` is not from 0 to 180, or ``scale`` is not a valid range.
    """

    def __init__(self, degrees: float = 15.0, scale: tuple[float, float] = (0.9, 1.1)) -> None:
        self.degrees = check_scalar("Rotate: degrees", degrees, most=180)
        self.scale = check_range("Rotate: scale", scale)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = as_floats(batch.inputs)
        angles = uniform(-self.degrees, self.degrees, images, generator).mul_(math.pi / 180)
        factors = uniform(*self.scale, images, generator)
        return batch._replace(inputs=rotate(images, angles, factors))


def rotate(images: Tensor, angles: Tensor, factors: Tensor) -> Tensor:
    """Rotates each of ``(batch, channels, height, width)`` images clockwise by its angle (in radians), and enlarges it
    by its factor."""
    height, width = images.shape[2:]
    cos, sin, zero = angles.cos() / factors, angles.sin() / factors, torch.zeros_like(angles)
    # The inverse maps output to input pixels. Coordinates run from -1 to 1 along both sides, whatever their length.
    inverse = torch.stack([cos, sin * (height / width), zero, sin * (-width / height), cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(inverse.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
