"""Mixing pairs of images and their targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, check_scalar, uniform
from primer.regularization.augmentation.erasing import rectangle_mask
from primer.spec import Classes, Spec, Target

STEPS = 2048
"""Number of intervals of the quantile table."""


class Mixing(Augmentation):
    r"""Base class of augmentations that mix each image with another one of its batch.

    The weight :math:`\lambda` of an image is drawn from Beta(alpha, alpha). Classes become class probabilities,
    ``(batch, classes)``; regression targets are averaged.

    Args:
        alpha: parameter of the Beta distribution. Near 0, one of the two images dominates; at 1, all weights are
            equally likely; above 1, weights near 1/2 are more likely.
        probability: probability of mixing, per image.

    Raises:
        InputError: if ``alpha`` is not greater than 0, or ``probability`` is not from 0 to 1.
    """

    def __init__(self, alpha: float, probability: float) -> None:
        name = type(self).__name__
        if alpha <= 0:
            raise InputError(f"{name}: alpha must be greater than 0, not {alpha}")
        self.alpha, self.probability = alpha, check_scalar(f"{name}: probability", probability)
        steps = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
        self.quantiles = torch.from_numpy(betaincinv(alpha, alpha, steps.numpy())).float()

    def sample_weights(self, images: Tensor, generator: Generator) -> Tensor:
        r"""Draws :math:`\lambda` for each image, ``(batch,)``; 1 for images that are not mixed. Uses the quantiles of
        the Beta distribution, since torch cannot sample from it with a custom generator."""
        mixed = uniform(0, 1, images, generator) < self.probability
        position = uniform(0, STEPS, images, generator)
        below = position.long().clamp_(max=STEPS - 1)
        self.quantiles = self.quantiles.to(images.device)
        weight = torch.lerp(self.quantiles[below], self.quantiles[below + 1], position - below)
        return torch.where(mixed, weight, 1.0)


class Mixup(Mixing):
    r"""Mixup (Zhang et al. 2018): the weighted mean :math:`\lambda x_i + (1 - \lambda) x_j` of two images, and of their
    targets. See ``Mixing`` for the arguments."""

    def __init__(self, alpha: float = 0.2, probability: float = 1.0) -> None:
        super().__init__(alpha, probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, partner = as_floats(batch.inputs), random_partners(batch.inputs, generator)
        weight = self.sample_weights(images, generator)
        mixed = torch.lerp(images.index_select(0, partner), images, weight.to(images.dtype).view(-1, 1, 1, 1))
        return batch._replace(inputs=mixed, targets=mix_targets(batch.targets, partner, weight, spec.target))


class Cutmix(Mixing):
    """CutMix (Yun et al. 2019): replaces a rectangle by that of another image, and mixes the targets by area. The
    rectangle has the aspect ratio of the image and may extend beyond its edges; only the visible area counts. See
    ``Mixing`` for the arguments."""

    def __init__(self, alpha: float = 1.0, probability: float = 0.5) -> None:
        super().__init__(alpha, probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, partner = batch.inputs, random_partners(batch.inputs, generator)
        height, width = images.shape[2:]
        side = (1 - self.sample_weights(images, generator)).sqrt()
        top, bottom = span(side, uniform(0, height, images, generator), height)
        left, right = span(side, uniform(0, width, images, generator), width)
        weight = 1 - (bottom - top) * (right - left) / (height * width)
        mask = rectangle_mask(top, bottom, left, right, height, width)
        pasted = torch.where(mask, images.index_select(0, partner), images)
        return batch._replace(inputs=pasted, targets=mix_targets(batch.targets, partner, weight, spec.target))


def span(side: Tensor, center: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Returns the start and the end, in whole pixels, of a fraction ``side`` of a length around a center, clipped to
    the length."""
    half = (side * length / 2).floor()
    return (center.floor() - half).clamp(min=0), (center.floor() + half).clamp(max=length)


def random_partners(images: Tensor, generator: Generator) -> Tensor:
    """Returns the index of another image for each image, as a random cyclic permutation."""
    cycle = torch.randperm(len(images), generator=generator, device=images.device)
    return torch.empty_like(cycle).scatter_(0, cycle, cycle.roll(1))


def mix_targets(targets: Tensor | None, partner: Tensor, weight: Tensor, target: Target) -> Tensor | None:
    """Returns targets mixed with those of the partners, with ``weight`` on their own: ``(batch, classes)`` class
    probabilities, or ``(batch, values)``."""
    if targets is None:
        return None
    if isinstance(target, Classes) and targets.ndim == 1:
        targets = F.one_hot(targets, len(target.names)).to(weight.dtype)
    return torch.lerp(targets[partner], targets, weight.to(targets.dtype).unsqueeze(1))
