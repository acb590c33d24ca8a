"""Logic gates on two noisy bits: XOR, which a linear model cannot learn, and AND and OR, which it can."""

from __future__ import annotations

import operator
from typing import Any, Literal

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Spec, Vector

Gate = Literal["xor", "and", "or"]
GATES = {"xor": operator.xor, "and": operator.and_, "or": operator.or_}


class XOR(DataModule):
    """The points (0, 0), (0, 1), (1, 0) and (1, 1) in equal numbers, with Gaussian noise. The class is the output of
    the gate for the two bits.

    The classes of XOR are not linearly separable: a linear model classifies at most three of the four points correctly
    (Minsky and Papert 1969), while one hidden layer solves the task (Rumelhart, Hinton and Williams 1986). AND and OR
    are linearly separable.

    Args:
        samples: number of points in all parts together.
        noise: standard deviation of the noise added to each coordinate; 0 repeats the four points.
        gate: ``xor``, ``and`` or ``or``.
        data_seed: seed of the noise.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``samples`` is less than 4, ``noise`` is negative or ``gate`` is unknown.
    """

    inputs = Vector
    targets = Classes

    def __init__(
        self, samples: int = 1000, noise: float = 0.1, gate: Gate = "xor", data_seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if samples < 4:
            raise InputError(f"samples must be at least 4, one for each point, not {samples}")
        if noise < 0:
            raise InputError(f"noise must be at least 0, not {noise}")
        if gate not in GATES:
            raise InputError(f"gate must be one of {', '.join(GATES)}, not {gate!r}")
        self.samples, self.noise, self.gate, self.data_seed = samples, noise, gate, data_seed

    def read(self) -> dict[Part, Records]:
        generator = torch.Generator().manual_seed(self.data_seed)
        corners = torch.arange(self.samples) % 4
        first, second = corners // 2, corners % 2
        bits = torch.stack([first, second], dim=1)
        noise = self.noise * torch.randn(self.samples, 2, generator=generator)
        return {"train": Batch(bits + noise, GATES[self.gate](first, second))}

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(2, ("x1", "x2"), *moments(train.inputs)), Classes(("0", "1")))

    def encode(self, records: Any) -> Batch:
        return records
