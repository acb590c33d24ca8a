"""Numbers are disturbed."""

from __future__ import annotations

import torch
from torch import Generator

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, as_floats, like
from primer.spec import Classes, NoTarget, Series, Spec, Tags, Values, Vector


class Noise(Augmentation):
    """Adds Gaussian noise to each number, which for small noise is a penalty on how steep the model is (Bishop 1995).

    Args:
        std: the standard deviation of the noise, in standard deviations of the feature.

    Raises:
        ValueError: for a negative one.
    """

    inputs = Series | Vector
    targets = Classes | Values | Tags | NoTarget

    def __init__(self, std: float = 0.1) -> None:
        if std < 0:
            raise InputError(f"the std of the noise must be at least 0, not {std}")
        self.std = std

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        inputs = as_floats(batch.inputs)
        assert isinstance(spec.input, Series | Vector)
        unit = like(torch.tensor(spec.input.std or (1.0,)), inputs)
        noise = torch.randn(inputs.shape, generator=generator, device=inputs.device, dtype=inputs.dtype)
        if batch.lengths is not None:  # Padding stays as it is.
            steps = torch.arange(inputs.shape[1]) < batch.lengths[:, None]
            noise *= like(steps, inputs)[..., None]
        return batch._replace(inputs=inputs + self.std * unit * noise)
