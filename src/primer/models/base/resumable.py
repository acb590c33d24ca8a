"""What a model keeps and puts right so that a resumed run is the one that was broken off."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor

from primer.models.base.state import random_state, restore_random_state
from primer.optim import Schedule


class Resumable(L.LightningModule):
    """The part of ``Model`` that does what Lightning does not resume: the state of the random numbers, the loaders and
    the training loss, schedules of a run that is longer now, and plateaus."""

    schedule: Schedule
    _sums: dict[str, list[Any]]
    _length: tuple[int, int] = (0, 0)
    """Steps and epochs of the run."""
    _resumed: dict[str, Any] | None = None
    _monitored: dict[str, Tensor | None] | None = None

    def progress(self) -> dict[str, Any]:
        """What a checkpoint holds for it."""
        return {
            "random_state": random_state(),
            "length": self._length,
            "train_sums": [torch.as_tensor(value) for value in self._sums["train"]],
            "monitored": {c.monitor: self.trainer.callback_metrics.get(str(c.monitor)) for c in self._plateaus()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trainer.state.fn == "fit" and "primer" in checkpoint:
            loops = checkpoint["loops"]["fit_loop"]
            if not loops["epoch_loop.batch_progress"]["is_last_batch"]:
                for part in ("total", "current"):  # An epoch that a limit of steps broke off is not a whole one.
                    loops["epoch_progress"][part]["processed"] = loops["epoch_progress"][part]["completed"]
            loaders = loops["state_dict"].get("combined_loader", [])
            self._resumed = checkpoint["primer"] | {"loaders": loaders}

    def on_train_start(self) -> None:
        if self._resumed is not None:
            self._resume(self._resumed)
            self._resumed = None

    def on_train_end(self) -> None:
        self._catch_up(self.trainer.fit_loop.epoch_progress.current.ready)

    def _resume(self, state: dict[str, Any]) -> None:
        restore_random_state(state["random_state"])
        self._sums["train"] = [value.to(self.device) for value in state["train_sums"]]
        # Lightning's own try comes to nothing once the number of steps was asked for, as configure_optimizers does.
        for loader, position in zip([self.trainer.train_dataloader], state["loaders"], strict=False):
            if loader is not None and hasattr(loader, "load_state_dict"):
                loader.load_state_dict(position)
        self._monitored = state["monitored"]
        if self._length != state.get("length", self._length) and not self._plateaus():
            for config in self.trainer.lr_scheduler_configs:
                taken = config.scheduler.last_epoch
                (entry,) = self.schedule.rebuild(self.trainer.optimizers[0], *self._length, taken)
                config.scheduler = entry["scheduler"]

    def _plateaus(self) -> list[Any]:
        configs = self.trainer.lr_scheduler_configs if self.automatic_optimization else []
        return [config for config in configs if config.reduce_on_plateau and config.interval == "epoch"]

    def _catch_up(self, epochs: int) -> None:
        """Tells plateau schedules of an epoch that Lightning has not told them of, since the run was resumed in it."""
        for config in self._plateaus():
            metric = self.trainer.callback_metrics.get(config.monitor, (self._monitored or {}).get(config.monitor))
            if config.scheduler.last_epoch < epochs // config.frequency and metric is not None:
                self.lr_scheduler_step(config.scheduler, metric)
