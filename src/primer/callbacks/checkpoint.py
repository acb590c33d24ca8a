"""Checkpoints of the best and the last epoch."""

from __future__ import annotations

from functools import cached_property

from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, which Lightning asks for its key some six times a step: here it is made once."""

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return super().state_key
