"""A rectangle of each image is taken away."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, check_range, check_share, like, uniform
from primer.spec import Image, Spec


class Cutout(Augmentation):
    """Fills a rectangle with the mean of the data set (DeVries and Taylor 2017), of random area and shape: random
    erasing (Zhong et al. 2020).

    Args:
        probability: of each image to lose a rectangle.
        area: the least and the largest share of the image that is erased; all between are equally likely.
        aspect: the least and the largest height of the rectangle, in widths; their logarithms are equally likely,
            among those with which the rectangle fits into the image.

    Raises:
        ValueError: where the probability is none, or the shares or heights are no range.
    """

    def __init__(
        self,
        probability: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: tuple[float, float] = (0.3, 3.33),
    ) -> None:
        self.probability = check_share("the probability of a cutout", probability)
        self.area = check_range("the area of a cutout", area, most=1)
        self.aspect = check_range("the aspect of a cutout", aspect)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = batch.inputs
        height, width = images.shape[2:]
        erased = uniform(0, 1, images, generator) < self.probability
        area = uniform(*self.area, images, generator).mul_(height * width)
        # The rectangle is at most as high and as wide as the image.
        least, most = area.log() - 2 * math.log(width), 2 * math.log(height) - area.log()
        low, high = (torch.full_like(area, math.log(end)).clamp(least, most) for end in self.aspect)
        ratio = torch.lerp(low, high, uniform(0, 1, images, generator)).exp()
        tall = (area * ratio).sqrt().round().clamp(1, height)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        top = (uniform(0, 1, images, generator) * (height - tall + 1)).floor()
        left = (uniform(0, 1, images, generator) * (width - wide + 1)).floor()
        mask = inside(top, top + tall * erased, left, left + wide, height, width)
        return batch._replace(inputs=torch.where(mask, fill(images, spec), images))


def inside(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in the rectangle of each image, of which ``bottom`` and ``right`` are no part any more:
    ``(batch, 1, height, width)``, from four of ``(batch,)``."""
    rows = torch.arange(height, device=top.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=top.device).view(1, 1, 1, -1)
    top, bottom, left, right = (side.view(-1, 1, 1, 1) for side in (top, bottom, left, right))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def fill(images: Tensor, spec: Spec) -> Tensor:
    """The mean of each channel in the unit of the images, as a picture of one pixel: ``(channels, 1, 1)``."""
    mean = torch.tensor((isinstance(spec.input, Image) and spec.input.mean) or (0.0,))
    if not images.is_floating_point():
        mean = mean.mul(255).round()
    return like(mean, images).view(-1, 1, 1)
