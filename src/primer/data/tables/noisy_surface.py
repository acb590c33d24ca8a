"""A surface over the plane, seen through noise: how error and overfitting grow with it."""

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
    r"""Points drawn evenly from :math:`[-1, 1]^2`, with :math:`z = \sin(\pi x) \cos(\pi y / 2) + \varepsilon`.

    The surface has the deviation 0.5; the best line through it explains half of its variance, and a hidden layer of
    four tanh units can follow it, from a good start. The noise :math:`\varepsilon` is normal, and its level may be
    another one in the test part: ``test_noise=0`` measures the distance from the surface itself. Point and noise of a
    sample depend on ``data_seed`` alone: another level makes the same noise larger or smaller, and another split leaves
    it as it is.

    Args:
        samples: how many points, in all parts together.
        noise: the standard deviation of the noise in the training and the validation part.
        test_noise: that in the test part; None for the same.
        data_seed: the seed of points and noise.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: for a negative noise or fewer than one sample.
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
        """Targets are two columns as yet: the surface, and noise of the deviation 1."""
        generator = torch.Generator().manual_seed(self.data_seed)
        points = torch.rand(self.samples, 2, generator=generator) * 2 - 1
        noise = torch.randn(self.samples, generator=generator)
        return {"train": Batch(points, torch.stack([surface(points), noise], dim=1))}

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        # Which level of noise a sample gets is known only once its part is.
        return {part: self._add_noise(part, records) for part, records in super().split(parts).items()}

    def _add_noise(self, part: Part, records: Any) -> Batch:
        level = self.test_noise if part == "test" else self.noise
        return Batch(records.inputs, records.targets[:, :1] + level * records.targets[:, 1:])

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(2, ("x", "y"), *moments(train.inputs)), Values(("z",), *moments(train.targets)))

    def encode(self, records: Any) -> Batch:
        return records


def surface(points: Float[Tensor, "samples 2"]) -> Float[Tensor, " samples"]:
    """The height of the surface, without noise."""
    x, y = points.unbind(1)
    return torch.sin(math.pi * x) * torch.cos(math.pi * y / 2)
