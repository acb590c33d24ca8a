"""Puts the result of training a model together with others into the trainer of an ordinary run."""

from __future__ import annotations

from dataclasses import dataclass, field
from signal import Signals
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from primer.callbacks import Report
from primer.callbacks.finite import diverged
from primer.checkpoints.last_checkpoint import LastCheckpoint
from primer.data.source import DataSource
from primer.errors import Interrupted
from primer.models.base import Model
from primer.models.base.trainer_internals import finish_epochs, set_epochs
from primer.optim.stacked import RULES


@dataclass
class Snapshot:
    """The state of one model at the end of an epoch.

    Attributes:
        epochs: the number of complete epochs.
        metrics: the metrics of the last of them.
        train_sums: the sum of its training losses and the number of targets.
        parameters: the parameters and buffers, by name.
        optimizer: the state of the optimizer: by its names, and by those of the parameters.
        groups: the parameter groups of the optimizer.
        schedulers: the states of the schedules.
        stopping: the state of early stopping, if there is any.
    """

    epochs: int
    metrics: dict[str, float]
    train_sums: tuple[float, float]
    groups: list[dict[str, Any]]
    schedulers: list[dict[str, Any]]
    stopping: dict[str, Any]
    parameters: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, dict[str, Tensor]] = field(default_factory=dict)


class Divergence(NamedTuple):
    """Why the training of a model ended.

    Attributes:
        reason: what is not finite.
        step, batch: where it was found, from 1; None at the end of an epoch.
    """

    reason: str
    step: int | None = None
    batch: int | None = None


@dataclass
class Trained:
    """The result of training one of several models together.

    Attributes:
        datamodule: the data, which all models share.
        seed: the seed of the run.
        batches: the number of batches in an epoch.
        max_epochs: the number of epochs of a run that nothing ends early.
        last: the state at the end of the last complete epoch.
        best: the state of the best epoch since the run was started or resumed; None if none was better than before.
        history: the metrics of each epoch; empty for those before a run was resumed.
        seconds, validation_seconds: the time that it took, divided by the number of models.
        divergence: why the training ended, if a number was not finite.
        signal: the signal that ended it, if any.
    """

    datamodule: DataSource
    seed: int
    batches: int
    max_epochs: int
    last: Snapshot
    best: Snapshot | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    validation_seconds: float = 0.0
    divergence: Divergence | None = None
    signal: Signals | None = None


class Replay(Callback):
    """Replaces the training of a run by its result. Checkpoints, logs and the state of the trainer are as if the run
    had trained by itself.

    Args:
        trained: the result.

    Raises:
        RunError: if the training diverged.
        Interrupted: if a signal ended it.
    """

    def __init__(self, trained: Trained) -> None:
        self.trained = trained
        self._logged = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: Model) -> None:
        result = self.trained
        checkpoints = [one for one in trainer.callbacks if isinstance(one, ModelCheckpoint)]  # type: ignore[attr-defined]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Report):
                callback.seconds |= {"training": result.seconds, "validation": result.validation_seconds}
            if isinstance(callback, LastCheckpoint):  # It has saved each epoch.
                callback.best_model_path = callback.format_checkpoint_name({})
        self._logged = trainer.current_epoch  # Of the run that is resumed.
        if result.best is not None and result.best.epochs < result.last.epochs:
            self._restore(trainer, pl_module, result.best)
            for callback in checkpoints:
                if not isinstance(callback, LastCheckpoint):
                    callback.on_train_epoch_end(trainer, pl_module)
        self._restore(trainer, pl_module, result.last)
        for callback in checkpoints:
            if result.last.epochs:
                callback.on_train_epoch_end(trainer, pl_module)
            elif isinstance(callback, LastCheckpoint):
                callback.save(trainer)
        if result.divergence:
            finish_epochs(trainer)
            raise diverged(trainer, *result.divergence)
        if result.signal:
            finish_epochs(trainer)
            saved = next((one for one in checkpoints if isinstance(one, LastCheckpoint)), None)
            raise Interrupted(result.signal, saved.describe(trainer) if saved else "nothing was saved")
        trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: Model) -> None:
        finish_epochs(trainer)

    def _restore(self, trainer: L.Trainer, model: Model, snapshot: Snapshot) -> None:
        """Gives the trainer and the model the state that they have at the end of an epoch."""
        batches = self.trained.batches
        with torch.no_grad():
            for name, value in (*model.named_parameters(), *model.named_buffers()):
                value.copy_(snapshot.parameters[name])
        if not snapshot.epochs:
            return
        set_epochs(trainer, snapshot.epochs, batches)
        (optimizer,) = trainer.optimizers
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        # Copies, since tensors that share their memory would do so in the checkpoint, too.
        state: dict[int, dict[str, Tensor]] = {index: {} for index in range(len(order))}
        for index, name in enumerate(order):
            if RULES[type(optimizer)].counts:
                state[index]["step"] = torch.tensor(float(snapshot.epochs * batches))
            state[index] |= {key: part[name].clone() for key, part in snapshot.optimizer.items()}
        state = {index: entry for index, entry in state.items() if entry}
        optimizer.load_state_dict({"state": state, "param_groups": snapshot.groups})
        for config, saved in zip(trainer.lr_scheduler_configs, snapshot.schedulers, strict=True):
            config.scheduler.load_state_dict(saved)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                callback.load_state_dict(snapshot.stopping)
        total, count = snapshot.train_sums
        model.evaluation.sums["train"] = torch.tensor(total), torch.tensor(int(count))
        for epoch in range(self._logged, snapshot.epochs):
            row = self.trained.history[epoch] | {"epoch": epoch}
            for logger in trainer.loggers:
                logger.log_metrics(row, (epoch + 1) * batches - 1)
        self._logged = snapshot.epochs
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in snapshot.metrics.items()})
