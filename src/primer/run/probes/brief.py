"""What probes share: the parts of a run, and a few training steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning import Callback

from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import GradientFree, Model
from primer.optim import Schedule
from primer.run.building import build_trainer

BRIEF = {
    "max_epochs": -1, "min_epochs": None, "min_steps": None, "max_time": None, "limit_val_batches": 0,
    "val_check_interval": 1.0, "check_val_every_n_epoch": 1, "num_sanity_val_steps": 0, "profiler": None,
}  # fmt: skip
"""Trainer settings for a few steps without validation."""


@dataclass(frozen=True)
class Probe:
    """The parts of a run: its resolved config, model, data and trainer, and the callbacks that decide which parameters
    are trained."""

    config: dict[str, Any]
    model: Model
    datamodule: DataSource
    trainer: L.Trainer
    callbacks: Sequence[Callback] = ()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config["paths"]["output_dir"])

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.trainer.strategy.root_device.type == "cuda"

    def check(self) -> None:
        """Raises ``InputError`` if the probe does not apply to the model or the data."""
        probe, name = f"probe={self.config['probe']}", type(self.model).__name__
        if self.config["resume"]:
            raise InputError(f"{probe} does not continue a run: leave out resume, or start from weights=RUN")
        if self.trainer.world_size > 1:
            raise InputError(f"{probe} uses one device: set accelerator.devices=1")
        if probe == "probe=summary":
            return
        if isinstance(self.model, GradientFree):
            raise InputError(f"{probe}: {name} learns without gradients, so there are no training steps")
        if probe == "probe=lr_find" and not self.model.automatic_optimization:
            raise InputError(f"{probe}: {name} has several optimizers or steps them manually; the test needs one")
        if probe == "probe=batch_size" and not hasattr(self.datamodule, "batch_size"):
            raise InputError(f"{probe}: {type(self.datamodule).__name__} does not have a batch size")

    def train(self, max_steps: int, callback: Callback) -> L.Trainer:
        """Trains for a few steps as the run would, at a constant learning rate, and returns the trainer."""
        config = self.config | {"trainer": self.config["trainer"] | BRIEF | {"max_steps": max_steps}}
        schedule, self.model.schedule = self.model.schedule, Schedule()
        try:
            trainer = build_trainer(config, self.model, [*self.callbacks, callback], [])
            trainer.fit(self.model, datamodule=self.datamodule)
        finally:
            self.model.schedule = schedule
        return trainer
