"""Base class of synthetic sequence tasks."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.errors import InputError


class Generated(DataModule):
    """Base class of long-term memory tasks, whose samples are random sequences of equal length. A subclass defines
    ``draw``.

    Each part is drawn independently, from ``split_seed`` only. The validation and test parts are not taken from
    ``samples`` but are additional: ``val_fraction * samples`` and ``test_fraction * samples`` sequences.

    Args:
        length: the length T of the task, as defined in its paper.
        samples: number of training samples.
        shortest: minimum value of ``length``.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``length`` is less than ``shortest``, or ``samples`` is less than 1.
    """

    def __init__(self, length: int, samples: int, shortest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if length < shortest:
            raise InputError(f"length must be at least {shortest}, not {length}")
        if samples < 1:
            raise InputError(f"samples must be at least 1, not {samples}")
        self.length, self.samples = length, samples

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Batch:
        """Draws ``count`` samples."""

    def read(self) -> dict[Part, Records]:
        fractions: dict[Part, float] = {"train": 1, "val": self.val_fraction, "test": self.test_fraction}
        return {
            part: self.draw(round(fraction * self.samples), torch.Generator().manual_seed(3 * self.split_seed + k))
            for k, (part, fraction) in enumerate(fractions.items())
        }

    def encode(self, records: Any) -> Batch:
        return records
