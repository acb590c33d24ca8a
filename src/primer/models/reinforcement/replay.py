"""The replay buffer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from primer.batch import Transition
from primer.errors import InputError


class ReplayBuffer:
    """The latest transitions, on the device of the first one (Lin 1992).

    Args:
        size: the maximum number of transitions.

    Attributes:
        rows: the transitions; None before the first one. Those from ``stored`` on are not filled yet.
        added: the number of transitions added so far.
    """

    def __init__(self, size: int) -> None:
        self.size, self.added = size, 0
        self.rows: Transition | None = None

    @property
    def stored(self) -> int:
        """The number of transitions in the buffer."""
        return min(self.added, self.size)

    def add(self, transition: Transition) -> None:
        """Adds transitions in place of the oldest ones."""
        if self.rows is None:
            self.rows = Transition(*(field.new_zeros(self.size, *field.shape[1:]) for field in transition))
        start, count = self.added % self.size, transition.size
        fits = start + count <= self.size
        index = slice(start, start + count) if fits else (torch.arange(start, start + count) % self.size)
        for rows, field in zip(self.rows, transition, strict=True):
            rows[index] = field
        self.added += count

    def sample(self, count: int) -> Transition:
        """Returns random transitions, with replacement."""
        assert self.rows is not None
        index = torch.randint(self.stored, (count,), device=self.rows.actions.device)
        return Transition(*(rows.index_select(0, index) for rows in self.rows))

    def state_dict(self) -> dict[str, Any]:
        """Returns the number of transitions added so far, and those that are stored."""
        rows = [] if self.rows is None else [rows[: self.stored].clone() for rows in self.rows]
        return {"added": self.added, "rows": rows}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restores the result of ``state_dict``.

        Raises:
            InputError: if it is not one of a buffer of this size.
        """
        added, rows = state["added"], state["rows"]
        stored = min(added, self.size)
        if len(rows) != (len(Transition._fields) if added else 0) or any(len(field) != stored for field in rows):
            raise InputError("resume: the replay buffer of the checkpoint is incomplete")
        self.added, self.rows = added, None
        if rows:
            self.rows = Transition(*(_extended(field.to(device), self.size) for field in rows))


def _extended(rows: Tensor, size: int) -> Tensor:
    extended = rows.new_zeros(size, *rows.shape[1:])
    extended[: len(rows)] = rows
    return extended
