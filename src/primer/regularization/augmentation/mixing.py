"""Two images become one, and so do their targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, check_share, uniform
from primer.regularization.augmentation.erasing import inside
from primer.spec import Classes, Spec, Target

STEPS = 2048
"""Of the table of quantiles."""


class Mixing(Augmentation):
    """The base of what mixes each image with another one of its batch.

    Each keeps a share of its own, drawn from Beta(alpha, alpha). Classes become shares of classes, ``(batch,
    classes)``; numbers are averaged.

    Args:
        alpha: near 0, one of the two images has nearly all; at 1, every share is equally likely; above it, halves are.
        probability: of each image to be mixed.

    Raises:
        ValueError: where alpha is not above 0, or the probability is none.
    """

    def __init__(self, alpha: float, probability: float) -> None:
        name = type(self).__name__.lower()
        if alpha <= 0:
            raise InputError(f"the alpha of {name} must be greater than 0, not {alpha}")
        self.alpha, self.probability = alpha, check_share(f"the probability of {name}", probability)
        steps = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
        self.quantiles = torch.from_numpy(betaincinv(alpha, alpha, steps.numpy())).float()

    def shares(self, images: Tensor, generator: Generator) -> Tensor:
        """What each image keeps of itself: ``(batch,)``, drawn through the quantiles of Beta, since torch draws it from
        no generator of one's own."""
        mixed = uniform(0, 1, images, generator) < self.probability
        place = uniform(0, STEPS, images, generator)
        below = place.long().clamp_(max=STEPS - 1)
        self.quantiles = self.quantiles.to(images.device)
        share = torch.lerp(self.quantiles[below], self.quantiles[below + 1], place - below)
        return torch.where(mixed, share, 1.0)


class Mixup(Mixing):
    r"""The weighted mean of two images (Zhang et al. 2018): :math:`\lambda x_i + (1 - \lambda) x_j`, and the same of
    their targets. The arguments are those of ``Mixing``."""

    def __init__(self, alpha: float = 0.2, probability: float = 1.0) -> None:
        super().__init__(alpha, probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, other = as_floats(batch.inputs), partners(batch.inputs, generator)
        share = self.shares(images, generator)
        mixed = torch.lerp(images.index_select(0, other), images, share.to(images.dtype).view(-1, 1, 1, 1))
        return batch._replace(inputs=mixed, targets=mix(batch.targets, other, share, spec.target))


class Cutmix(Mixing):
    """A rectangle of another image in the place of one's own, and targets by area (Yun et al. 2019). The rectangle has
    the shape of the image and may reach over its edge; what counts is the part that is seen. The arguments are those
    of ``Mixing``."""

    def __init__(self, alpha: float = 1.0, probability: float = 0.5) -> None:
        super().__init__(alpha, probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images, other = batch.inputs, partners(batch.inputs, generator)
        height, width = images.shape[2:]
        side = (1 - self.shares(images, generator)).sqrt()
        top, bottom = span(side, uniform(0, height, images, generator), height)
        left, right = span(side, uniform(0, width, images, generator), width)
        share = 1 - (bottom - top) * (right - left) / (height * width)
        mask = inside(top, bottom, left, right, height, width)
        pasted = torch.where(mask, images.index_select(0, other), images)
        return batch._replace(inputs=pasted, targets=mix(batch.targets, other, share, spec.target))


def span(side: Tensor, centre: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where a share ``side`` of a length starts and ends about a centre, cut off at the ends, in whole pixels."""
    half = (side * length / 2).floor()
    return (centre.floor() - half).clamp(min=0), (centre.floor() + half).clamp(max=length)


def partners(images: Tensor, generator: Generator) -> Tensor:
    """For each image the index of another one, each of them once: the next in a random round."""
    round_ = torch.randperm(len(images), generator=generator, device=images.device)
    return torch.empty_like(round_).scatter_(0, round_, round_.roll(1))


def mix(targets: Tensor | None, other: Tensor, share: Tensor, target: Target) -> Tensor | None:
    """Targets of which ``share`` is their own, and the rest that of the others: ``(batch, classes)`` shares of classes,
    or ``(batch, values)``."""
    if targets is None:
        return None
    if isinstance(target, Classes) and targets.ndim == 1:
        targets = F.one_hot(targets, len(target.names)).to(share.dtype)
    return torch.lerp(targets[other], targets, share.to(targets.dtype).unsqueeze(1))
