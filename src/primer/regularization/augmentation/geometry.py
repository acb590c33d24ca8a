"""Where the pixels of an image are: mirrored, shifted, rotated, scaled."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, check_range, check_share, uniform
from primer.spec import Spec


class Flip(Augmentation):
    """Mirrors images left to right.

    Args:
        probability: of each image to be mirrored.

    Raises:
        ValueError: where the probability is none.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_share("the probability of a flip", probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = batch.inputs
        mirrored = uniform(0, 1, images, generator) < self.probability
        both, index = torch.cat([images, images.flip(-1)]), torch.arange(batch.size, device=images.device)
        # Whole images are copied: several times as fast as a choice for each pixel.
        return batch._replace(inputs=both.index_select(0, index + batch.size * mirrored))


class Shift(Augmentation):
    """Moves images by whole pixels and fills up with black: what cropping a padded image does (He et al. 2016, section
    4.2).

    Args:
        padding: the largest shift to each side, in pixels. All shifts up to it are equally likely.

    Raises:
        ValueError: where the padding is negative.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 0:
            raise InputError(f"the padding of a shift must be at least 0, not {padding}")
        self.padding = padding

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, places = batch.inputs, 2 * self.padding + 1
        size, _, height, width = images.shape
        corners = torch.randint(0, places, (2, size), generator=generator, device=images.device)
        # Every crop of the padded image, as a view: only those that are taken are copied, and row by row.
        crops = F.pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return batch._replace(inputs=crops[torch.arange(size, device=images.device), :, corners[0], corners[1]])


class Rotate(Augmentation):
    """Rotates and scales images about their centre, with bilinear interpolation, and fills up with black.

    Args:
        degrees: the largest angle to either side. All angles up to it are equally likely.
        scale: the smallest and the largest factor; above 1 enlarges.

    Raises:
        ValueError: where an angle is more than half a turn, or the factors are no range.
    """

    def __init__(self, degrees: float = 15.0, scale: tuple[float, float] = (0.9, 1.1)) -> None:
        self.degrees = check_share("the degrees of a rotation", degrees, most=180)
        self.scale = check_range("the scale of a rotation", scale)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = as_floats(batch.inputs)
        angles = uniform(-self.degrees, self.degrees, images, generator).mul_(math.pi / 180)
        factors = uniform(*self.scale, images, generator)
        return batch._replace(inputs=rotate(images, angles, factors))


def rotate(images: Tensor, angles: Tensor, factors: Tensor) -> Tensor:
    """``(batch, channels, height, width)`` images, each rotated clockwise by its angle (in radians) and enlarged by its
    factor."""
    height, width = images.shape[2:]
    cos, sin, zero = angles.cos() / factors, angles.sin() / factors, torch.zeros_like(angles)
    # From where each pixel comes, so the inverse; both sides count as 2 long, whatever their number of pixels.
    inverse = torch.stack([cos, sin * (height / width), zero, sin * (-width / height), cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(inverse.to(images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
