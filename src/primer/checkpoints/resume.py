"""Resumes a run so that it is bit-for-bit equal to an uninterrupted run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning import Callback
from torchmetrics import Metric

from primer.checkpoints.random_state import random_state, restore_random_state
from primer.checkpoints.training_state import check_like, check_optimizers, check_restored
from primer.errors import InputError, naming
from primer.models.base import Model
from primer.models.base.overhead import add_logged_sums, logged_step, logged_sums, unlogged_metrics
from primer.models.base.trainer_internals import resume_by_epochs
from primer.records.loggers import CSV


class Resume(Callback):
    """Saves and restores what Lightning does not.

    This includes the states of the random number generators, the position of the training loader, the training loss and
    the metrics so far, the schedules of a run whose length changed, the row of the epoch in ``metrics.csv``, and the
    model's ``resume_state``. Both runs need this callback.
    """

    def __init__(self) -> None:
        self._trainer: L.Trainer | None = None
        self._model: Model | None = None
        self._state: dict[str, Any] | None = None
        self._checkpoint: dict[str, Any] | None = None
        self._loaders: list[Any] = []
        self._inside_epoch = False
        self._logged: dict[str, Any] = {}
        self._metrics: dict[str, float] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Model)
        self._trainer, self._model = trainer, pl_module
        resume_by_epochs(trainer)

    def state_dict(self) -> dict[str, Any]:
        model = self._model
        assert model is not None
        return {
            "random_state": random_state(),
            "run_length": list(model.run_length),
            "train_sums": [torch.as_tensor(value) for value in model.training_sums()],
            "accumulating": model.is_accumulating,
            "logged_sums": logged_sums(self._trainer) if self._trainer else {},
            "metrics_row": self._metrics_row(),
            "metrics": metric_states(model),
            "model": model.resume_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit":
            return
        with naming(f"resume={trainer.ckpt_path}"):
            check_restored(trainer, checkpoint)
        self._checkpoint = checkpoint
        loops = checkpoint["loops"]["fit_loop"]
        self._inside_epoch = not loops["epoch_loop.batch_progress"]["is_last_batch"]
        if self._inside_epoch:
            for part in ("total", "current"):  # Do not count an epoch that max_steps cut short.
                loops["epoch_progress"][part]["processed"] = loops["epoch_progress"][part]["completed"]
        self._loaders = loops["state_dict"].get("combined_loader", [])
        self._metrics = checkpoint["primer"]["metrics"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is not None:  # The optimizers exist by now, and are restored next.
            with naming(f"resume={trainer.ckpt_path}"):
                check_optimizers(trainer, checkpoint)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        state, self._state = self._state, None
        if state is None or trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, Model)
        if state["accumulating"]:
            raise InputError(
                "resume: this checkpoint was written while gradients were accumulated over batches, and it does not "
                "have them: resume from last.ckpt"
            )
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, CSV):
                source = Path(str(trainer.ckpt_path)).parent.parent / logger.path.name
                logger.resume(source, *state["metrics_row"])
        # Those that are not logged in every epoch are still reported.
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self._metrics.items()})
        restore_random_state(state["random_state"])
        total, count = (value.to(pl_module.device) for value in state["train_sums"])
        pl_module.evaluation.sums["train"] = total, count
        # Lightning's own attempt has no effect because configure_optimizers has already requested the number of steps.
        for loader, position in zip([trainer.train_dataloader], self._loaders, strict=False):
            if loader is not None and hasattr(loader, "load_state_dict"):
                with naming(f"resume={trainer.ckpt_path}"):
                    check_like("combined_loader", position, loader.state_dict())
                loader.load_state_dict(position)
        if state["run_length"] != list(pl_module.run_length):
            pl_module.rebuild_schedules()
        if self._inside_epoch:
            load_metric_states(pl_module, state["metrics"])
        pl_module.load_resume_state(state["model"])
        self._logged = state["logged_sums"] if self._inside_epoch else {}

    def _metrics_row(self) -> tuple[int, dict[str, Any]]:
        """Returns the current epoch and its row in ``metrics.csv``, including metrics that are not logged yet."""
        trainer = self._trainer
        if trainer is None:
            return 0, {}
        epoch, unlogged = trainer.current_epoch, unlogged_metrics(trainer)  # In all processes, since it may gather.
        logger = next((logger for logger in trainer.loggers if isinstance(logger, CSV)), None)
        if logger is None:
            return epoch, {}
        return epoch, logger.row(epoch, logged_step(trainer), unlogged) if unlogged else logger.rows.get(epoch, {})

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._logged:
            add_logged_sums(trainer, self._logged)
            self._logged = {}


def metric_states(model: Model) -> dict[str, dict[str, Any]]:
    """Returns what each metric of torchmetrics within a model has accumulated. Its state dict does not contain it."""
    metrics = ((name, module) for name, module in model.named_modules() if isinstance(module, Metric))
    return {name: {"updates": metric.update_count, **metric.metric_state} for name, metric in metrics}


def load_metric_states(model: Model, states: dict[str, dict[str, Any]]) -> None:
    """Restores the result of ``metric_states``."""
    for name, state in states.items():
        metric = model.get_submodule(name)
        assert isinstance(metric, Metric)
        metric._update_count = state["updates"]
        for key in metric.metric_state:
            value = state[key]
            value = [part.to(model.device) for part in value] if isinstance(value, list) else value.to(model.device)
            setattr(metric, key, value)
