"""Samples that are drawn at random, as many as are asked for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.errors import InputError


class Generated(DataModule):
    """The base of tasks for long memories, whose samples are sequences of one length. A subclass says how they are
    drawn.

    Each part is drawn by itself, from ``split_seed`` alone: the validation and the test part are no shares of
    ``samples`` but come on top, as many as their fractions say.

    Args:
        length: T, by which the papers call the task.
        shortest: the least that it may be.
        samples: for training.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: for a shorter length, or no sample.
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
        """So many samples."""

    def read(self) -> dict[Part, Records]:
        shares: dict[Part, float] = {"train": 1, "val": self.val_fraction, "test": self.test_fraction}
        return {
            part: self.draw(round(share * self.samples), torch.Generator().manual_seed(3 * self.split_seed + k))
            for k, (part, share) in enumerate(shares.items())
        }

    def encode(self, records: Any) -> Batch:
        return records
