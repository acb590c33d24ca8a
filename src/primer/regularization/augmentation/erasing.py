"""Erasing a rectangle of each image."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, check_range, check_scalar, constant_like, uniform
from primer.spec import Image, Spec


class Cutout(Augmentation):
    """Fills a rectangle with the mean of the data set (DeVries and Taylor 2017), with random area and aspect ratio as
    in random erasing (Zhong et al. 2020).

    Args:
        probability: probability of erasing a rectangle, per image.
        area: minimum and maximum fraction of the image to erase; drawn uniformly.
        aspect: minimum and maximum ratio of the rectangle's height to its width; drawn log-uniformly among the ratios
            for which the rectangle fits into the image.

    Raises:
        InputError: if ``probability`` is not from 0 to 1, or ``area`` or ``aspect`` is not a valid range.
    """

    def __init__(
        self,
        probability: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: tuple[float, float] = (0.3, 3.33),
    ) -> None:
        self.probability = check_scalar("Cutout: probability", probability)
        self.area = check_range("Cutout: area", area, most=1)
        self.aspect = check_range("Cutout: aspect", aspect)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = batch.inputs
        height, width = images.shape[2:]
        erased = uniform(0, 1, images, generator) < self.probability
        area = uniform(*self.area, images, generator).mul_(height * width)
        # The rectangle must not be higher or wider than the image.
        smallest, largest = area.log() - 2 * math.log(width), 2 * math.log(height) - area.log()
        low, high = (torch.full_like(area, math.log(bound)).clamp(smallest, largest) for bound in self.aspect)
        ratio = torch.lerp(low, high, uniform(0, 1, images, generator)).exp()
        box_height = (area * ratio).sqrt().round().clamp(1, height)
        box_width = (area / ratio).sqrt().round().clamp(1, width)
        top = (uniform(0, 1, images, generator) * (height - box_height + 1)).floor()
        left = (uniform(0, 1, images, generator) * (width - box_width + 1)).floor()
        mask = rectangle_mask(top, top + box_height * erased, left, left + box_width, height, width)
        return batch._replace(inputs=torch.where(mask, mean_pixel(images, spec), images))


def rectangle_mask(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Returns a mask of the pixels in the rectangle of each image, ``(batch, 1, height, width)``, given the sides,
    ``(batch,)`` each; ``bottom`` and ``right`` are exclusive."""
    rows = torch.arange(height, device=top.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=top.device).view(1, 1, 1, -1)
    top, bottom, left, right = (side.view(-1, 1, 1, 1) for side in (top, bottom, left, right))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def mean_pixel(images: Tensor, spec: Spec) -> Tensor:
    """Returns the mean of each channel in the scale of the images, ``(channels, 1, 1)``."""
    mean = torch.tensor((isinstance(spec.input, Image) and spec.input.mean) or (0.0,))
    if not images.is_floating_point():
        mean = mean.mul(255).round()
    return constant_like(mean, images).view(-1, 1, 1)
