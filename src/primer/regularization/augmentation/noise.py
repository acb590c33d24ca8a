"""Gaussian noise on numeric inputs."""

from __future__ import annotations

import torch
from torch import Generator

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, constant_like
from primer.spec import Classes, NoTarget, Series, Spec, Tags, Values, Vector


class Noise(Augmentation):
    """Adds Gaussian noise to each number. Small noise acts as a penalty on the gradient of the model with respect to
    its inputs (Bishop 1995).

    Args:
        std: standard deviation of the noise, relative to the standard deviation of each feature.

    Raises:
        InputError: if ``std`` is negative.
    """

    inputs = Series | Vector
    targets = Classes | Values | Tags | NoTarget

    def __init__(self, std: float = 0.1) -> None:
        if std < 0:
            raise InputError(f"Noise: std must be at least 0, not {std}")
        self.std = std

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        inputs = as_floats(batch.inputs)
        assert isinstance(spec.input, Series | Vector)
        unit = constant_like(torch.tensor(spec.input.std or (1.0,)), inputs)
        noise = torch.randn(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
        if batch.lengths is not None:  # Do not change padding.
            mask = torch.arange(inputs.shape[1]) < batch.lengths[:, None]
            noise *= constant_like(mask, inputs)[..., None]
        return batch._replace(inputs=inputs + self.std * unit * noise)
