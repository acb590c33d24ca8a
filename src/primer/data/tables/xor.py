"""Two bits and a gate: what a linear model cannot learn, and what it can."""

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
    """The points (0, 0), (0, 1), (1, 0) and (1, 1), each as often as the others, moved by Gaussian noise. The class is
    what the gate makes of the two bits.

    No line parts the classes of XOR, so a linear model gets three of the four points right at best (Minsky and Papert
    1969); a hidden layer solves it (Rumelhart, Hinton and Williams 1986). AND and OR are linearly separable.

    Args:
        samples: how many points, in all parts together.
        noise: the standard deviation of what is added to each coordinate; 0 repeats the four points.
        gate: ``xor``, ``and`` or ``or``.
        data_seed: the seed of the noise alone.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: for fewer than four samples, a negative noise or an unknown gate.
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
