"""Raw inputs that were encoded as a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from primer.batch import Batch


@dataclass
class Encoded:
    """Encoded inputs, in the compact form of a data set. Inputs with an error are left out of the batch.

    Attributes:
        batch: the inputs without an error, in order, neither standardized nor expanded.
        errors: what is wrong with the other inputs, by position.
        size: the number of all inputs.
        tokens: the tokens of each input in the batch, if inputs are tokens.
        unpack: expands batches from the compact form; None if that is not necessary.
        unseen: how often each category occurred that training did not see, by column and category.
    """

    batch: Batch
    size: int
    errors: dict[int, str] = field(default_factory=dict)
    tokens: Sequence[tuple[str, ...]] | None = None
    unpack: Callable[[Batch], Batch] | None = None
    unseen: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def kept(self) -> list[int]:
        """The positions of the inputs in the batch."""
        return [k for k in range(self.size) if k not in self.errors]


def as_tensor(values: Any) -> torch.Tensor:
    """Converts an array or nested lists of numbers to a tensor that does not share memory with it."""
    return values.detach().cpu() if isinstance(values, torch.Tensor) else torch.tensor(values)
