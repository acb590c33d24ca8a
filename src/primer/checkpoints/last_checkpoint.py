"""Saves the latest state of a run, which ``resume=`` continues from."""

from __future__ import annotations

import math
import os
import shlex
import time
from functools import partial
from pathlib import Path
from signal import Signals

import lightning as L
import torch

from primer.checkpoints.saving import Checkpoint
from primer.errors import InputError, Interrupted, RunError
from primer.models.base import Model
from primer.models.base.trainer_internals import call_between_batches, end_other_processes, is_resumable
from primer.records.signals import signals

AGREEMENT_INTERVAL = 10
"""In distributed runs, the number of batches between two agreements on whether to save: each waits for the device."""

SAVE = -1
"""A request to save a checkpoint and to continue. The request to end after saving is the number of a signal."""


class LastCheckpoint(Checkpoint):
    """Saves ``last.ckpt`` before the first step, after every epoch, every few minutes within an epoch, and when a
    signal ends the run.

    Within an epoch, it saves between two steps from which a resumed run equals an uninterrupted one: not while
    gradients are being accumulated, and not right after a validation. A signal during a validation takes effect after
    it.

    Args:
        dirpath: the directory of the checkpoint.
        filename: its name without the extension.
        minutes: the time between checkpoints within an epoch; None saves none within an epoch.

    Raises:
        InputError: if ``minutes`` is not positive.
        Interrupted: during training, after a signal, once a checkpoint has been saved.
    """

    def __init__(self, dirpath: str | Path, filename: str = "last", minutes: float | None = 10.0) -> None:
        if minutes is not None and not minutes > 0:
            raise InputError(f"callbacks.last.minutes must be more than 0, or null, not {minutes}")
        super().__init__(dirpath=dirpath, filename=filename, save_on_train_epoch_end=True, enable_version_counter=False)
        self.minutes = math.inf if minutes is None else minutes
        self._due = math.inf
        self._request = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        assert isinstance(pl_module, Model)
        if trainer.ckpt_path is None:
            self.save(trainer)
        self._request, self._due = 0, time.monotonic() + 60 * self.minutes
        call_between_batches(trainer, partial(self._between_batches, trainer, pl_module))
        signals.deferring = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        signals.deferring = False
        if trainer.global_step == 0:
            self._remove_initial(trainer)
        signals.outcome = f"training is complete, but not the test; to test: python evaluate.py {self._run('run')}"
        if signals.received is not None:
            raise Interrupted(signals.received, signals.outcome)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        signals.deferring = False
        end_other_processes(trainer)
        if isinstance(exception, Exception) and not isinstance(exception, RunError):
            self._remove_initial(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Saves the current state."""
        self.best_model_path = self.format_checkpoint_name({})
        self._save_checkpoint(trainer, self.best_model_path)

    def _between_batches(self, trainer: L.Trainer, model: Model) -> None:
        request = self._request or self._requested(trainer)
        if not request:
            return
        self._request = request
        if self._last_global_step_saved != trainer.global_step:
            if model.is_accumulating or not is_resumable(trainer):
                return
            self.save(trainer)
        if request != SAVE:
            raise Interrupted(Signals(request), self.describe(trainer))
        self._request, self._due = 0, time.monotonic() + 60 * self.minutes

    def _requested(self, trainer: L.Trainer) -> int:
        """Returns the request of the main process: ``SAVE``, a signal, or 0 for none."""
        if trainer.world_size > 1 and trainer.fit_loop.batch_idx % AGREEMENT_INTERVAL:
            return 0
        request = signals.received or (SAVE if time.monotonic() >= self._due else 0)
        if trainer.world_size == 1:
            return request
        own = torch.tensor(request if trainer.is_global_zero else 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="sum"))

    def describe(self, trainer: L.Trainer) -> str:
        """Returns what is saved, and the command that continues."""
        epoch, step = trainer.current_epoch + 1, trainer.global_step
        return f"saved step {step:,} (epoch {epoch}); to continue: python train.py {self._run('resume')}"

    def _run(self, key: str) -> str:
        """Returns the argument of a command that names the run folder."""
        return shlex.quote(f"{key}={os.path.relpath(Path(str(self.dirpath)).parent)}")

    def _remove_initial(self, trainer: L.Trainer) -> None:
        """Removes the checkpoint of the initial weights after a run that was rejected before its first results."""
        if self._last_global_step_saved == 0 and trainer.ckpt_path is None and trainer.is_global_zero:
            file, self.best_model_path = Path(self.best_model_path or os.devnull), ""
            if file.is_file():
                file.unlink()
                if not any(file.parent.iterdir()):
                    file.parent.rmdir()
