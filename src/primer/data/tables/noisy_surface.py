"""Regression of a noisy surface, to study the effect of noise on error and overfitting."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Spec, Values, Vector


class NoisySurface(DataModule):
    r"""Points drawn uniformly from :math:`[-1, 1]^2`, with :math:`z = \sin(\pi x) \cos(\pi y / 2) + \varepsilon`.

    The surface has a standard deviation of 0.5. The best linear fit explains half of its variance, and a hidden layer
    of four tanh units can fit it, given a good initialization. The noise :math:`\varepsilon` is normal, and its level
    can differ in the test part: ``test_noise=0`` computes the distance to the noise-free surface. The point and the
    unit noise of a sample depend only on ``data_seed``: the noise level scales the same noise, and the split does not
    change it.

    Args:
        samples: number of points in all parts together.
        noise: standard deviation of the noise in the training and validation parts.
        test_noise: standard deviation of the noise in the test part; None for the same.
        data_seed: seed of the points and the noise.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a noise level is negative, or ``samples`` is less than 1.
    """

    inputs = Vector
    targets = Values

    def __init__(
        self,
        samples: int = 2000,
        noise: float = 0.1,
        test_noise: float | None = None,
        data_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if samples < 1:
            raise InputError(f"samples must be at least 1, not {samples}")
        for name, level in (("noise", noise), ("test_noise", test_noise)):
            if level is not None and level < 0:
                raise InputError(f"{name} must be at least 0, not {level}")
        self.samples, self.noise, self.data_seed = samples, noise, data_seed
        self.test_noise = noise if test_noise is None else test_noise

    def read(self) -> dict[Part, Records]:
        """Returns targets with two columns: the surface, and noise with a standard deviation of 1."""
        generator = torch.Generator().manual_seed(self.data_seed)
        points = torch.rand(self.samples, 2, generator=generator) * 2 - 1
        noise = torch.randn(self.samples, generator=generator)
        return {"train": Batch(points, torch.stack([surface(points), noise], dim=1))}

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        # The noise level of a sample depends on its part.
        return {part: self._add_noise(part, records) for part, records in super().split(parts).items()}

    def _add_noise(self, part: Part, records: Any) -> Batch:
        level = self.test_noise if part == "test" else self.noise
        return Batch(records.inputs, records.targets[:, :1] + level * records.targets[:, 1:])

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(2, ("x", "y"), *moments(train.inputs)), Values(("z",), *moments(train.targets)))

    def encode(self, records: Any) -> Batch:
        return records


def surface(points: Float[Tensor, "samples 2"]) -> Float[Tensor, " samples"]:
    """Returns the height of the surface, without noise."""
    x, y = points.unbind(1)
    return torch.sin(math.pi * x) * torch.cos(math.pi * y / 2)
