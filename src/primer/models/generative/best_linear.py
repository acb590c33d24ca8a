"""What a linear autoencoder of a given size achieves at best: principal component analysis (Baldi and Hornik 1989)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from primer.data.base import DataModule
from primer.data.loading.stream import Stream
from primer.models.generative.coder import Coder
from primer.spec import Image, Vector

LARGEST = 4096
"""The largest number of values of a sample: more would take long."""


class BestLinear(NamedTuple):
    """The mean of samples, and the orthonormal directions along which they vary most.

    Attributes:
        mean: ``(values,)``.
        components: ``(components, values)``.
    """

    mean: Tensor
    components: Tensor

    def __call__(self, samples: Float[Tensor, "batch values"]) -> Float[Tensor, "batch values"]:
        """Reconstructs samples from their coordinates along the components."""
        mean, components = self.mean.to(samples.device), self.components.to(samples.device)
        return mean + (samples - mean) @ components.T @ components


def fit_best_linear(data: DataModule, model: Coder) -> BestLinear | None:
    """Fits as many components as the model's codes have numbers to the training part, in the units in which the model
    reconstructs samples. None if samples are too large, or do not fit in memory."""
    assert isinstance(model.spec.input, Vector | Image)
    if model.spec.input.size > LARGEST or isinstance(data.stored("train", train=False), Stream):
        return None
    size = model.spec.input.size
    count, total, products = 0, torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for batch in data.loader("train", train=False):
        samples = model.original(batch.inputs).flatten(1)
        count += batch.size
        total += samples.sum(0).cpu()
        products += (samples.T @ samples).cpu()
    sums = torch.cat([products, total[None], torch.full_like(total, count)[None]])
    if data.trainer is not None and data.trainer.world_size > 1:  # Each process has read a part of the samples.
        sums = data.trainer.strategy.reduce(sums.float().to(model.device), reduce_op="sum").cpu().double()  # type: ignore[union-attr]
    mean = sums[-2] / sums[-1]
    covariance = sums[:-2] / sums[-1] - mean[:, None] * mean
    _, vectors = torch.linalg.eigh(covariance)  # In ascending order.
    return BestLinear(mean.float(), vectors.T.flip(0)[: model.code_size].float())
