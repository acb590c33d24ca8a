"""Two interleaved half circles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import make_moons

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Spec, Vector


class Moons(DataModule):
    """Points on two interleaved half circles, with Gaussian noise: clusters that are not round, and classes that no
    line separates.

    Args:
        samples: number of points in all parts together.
        noise: standard deviation of the noise added to each coordinate.
        data_seed: seed of the noise.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``samples`` is less than 4 or ``noise`` is negative.
    """

    inputs = Vector
    targets = Classes

    def __init__(self, samples: int = 1000, noise: float = 0.05, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if samples < 4:
            raise InputError(f"samples must be at least 4, not {samples}")
        if noise < 0:
            raise InputError(f"noise must be at least 0, not {noise}")
        self.samples, self.noise, self.data_seed = samples, noise, data_seed

    def read(self) -> dict[Part, Records]:
        points, classes = make_moons(self.samples, noise=self.noise, random_state=self.data_seed)
        return {"train": Batch(torch.from_numpy(points).float(), torch.from_numpy(classes).long())}

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(2, ("x1", "x2"), *moments(train.inputs)), Classes(("upper", "lower")))

    def encode(self, records: Any) -> Batch:
        return records
