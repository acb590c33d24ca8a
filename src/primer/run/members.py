"""One of several models that train together: the parts of its run, and what it has for itself."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from primer.callbacks import StopOnNaN
from primer.checkpoints import reading
from primer.checkpoints.saving import Checkpoint
from primer.checkpoints.training_state import check_training_state
from primer.config.ranges import check_ranges
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model
from primer.models.base.trainer_internals import should_stop
from primer.optim import build_optimizer
from primer.optim.stacked import RULES, hyper_parameters
from primer.run.accelerators import check_accelerator
from primer.run.building import Parts, build_data, build_parts, seed_everything
from primer.run.replay import Divergence, Snapshot, Trained
from primer.run.stacking import INSTEAD


class Job(NamedTuple):
    """A run to train: its resolved config and its command-line overrides."""

    config: dict[str, Any]
    overrides: list[str]


class SeededDataError(InputError):
    """Data that differs between runs."""


@dataclass(eq=False)
class Member:
    """One of the models.

    Attributes:
        parts: of its run.
        result: its result so far.
        optimizer: holds its hyper-parameters, which the schedules change; it is never stepped.
        schedulers: its schedules, as Lightning describes them.
        clip: the largest norm or value of its gradient; infinity for no limit.
        stopping, checkpoint: callbacks of its run, if it has them.
        best_score: the monitored metric of the best epoch.
    """

    parts: Parts
    result: Trained
    optimizer: Optimizer
    schedulers: list[dict[str, Any]]
    clip: float
    stopping: EarlyStopping | None
    checkpoint: Checkpoint | None
    best_score: float = field(default=math.nan)

    @property
    def model(self) -> Model:
        """The model before its training."""
        return self.parts.model

    def has(self, kind: type[L.Callback]) -> bool:
        """Returns whether the run has a callback of a kind."""
        return any(isinstance(callback, kind) for callback in self.parts.callbacks)

    def hyper_parameters(self, steps: int) -> list[dict[str, Any]]:
        """Returns the numbers of the optimizer for each step of an epoch, and advances the schedules to its end."""
        numbers = []
        for _ in range(steps):
            numbers.append(hyper_parameters(self.optimizer) if not numbers or self._by_step else numbers[-1])
            self._advance("step")
        self._advance("epoch")
        return numbers

    def lr(self) -> float:
        """Returns the current learning rate."""
        return max(group["lr"] for group in self.optimizer.param_groups)

    def optimizer_state(self) -> dict[str, Tensor]:
        """Returns the state of the optimizer of a resumed run, with all parameters in one vector."""
        parameters = list(self.model.parameters())
        names = RULES[type(self.optimizer)].state(self.optimizer.param_groups[0])
        return {name: torch.cat([self.optimizer.state[p][name].flatten() for p in parameters]) for name in names}

    def divergence(self, losses: list[float]) -> Divergence | None:
        """Returns where the loss of an epoch, a value per step, was not finite; None if nowhere, or if it may be."""
        batch = next((batch for batch, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if batch is None or not self.has(StopOnNaN):
            return None
        step = len(self.result.history) * self.result.batches + batch
        return Divergence(f"the loss is {losses[batch]}", step + 1, batch + 1)

    def finish_epoch(self, metrics: dict[str, float], sums: tuple[float, float]) -> tuple[bool, bool]:
        """Records an epoch, advances plateau schedules, and checks its metrics.

        Args:
            metrics: of the epoch.
            sums: the sum of the training losses and the number of targets.

        Returns:
            Whether the epoch is the best so far, and whether it is the last one.
        """
        monitored = self.checkpoint.monitor if self.checkpoint else None
        for name in dict.fromkeys((monitored, self.stopping and self.stopping.monitor)):
            if name is not None and name not in metrics:
                raise InputError(f"monitor={name}: the model does not log that metric; it logs {', '.join(metrics)}")
        for name, value in metrics.items() if self.has(StopOnNaN) else ():
            if (name in ("train/loss", "val/loss") and not math.isfinite(value)) or (
                name == monitored and value != value
            ):
                self.result.divergence = Divergence(f"{name} is {value}")
                return False, True
        for entry in self.schedulers:
            if isinstance(entry["scheduler"], ReduceLROnPlateau):
                entry["scheduler"].step(metrics[str(entry["monitor"])])
        self.result.history.append(metrics)
        is_best = monitored is None or self._improves(metrics[monitored])
        epoch = len(self.result.history)
        ends = self.stopping is not None and should_stop(self.stopping, metrics[self.stopping.monitor], epoch - 1)
        self.result.last = self.snapshot(metrics, sums)
        self.result.best = self.result.last if is_best else self.result.best
        return is_best, ends or epoch == self.result.max_epochs

    def snapshot(self, metrics: dict[str, float], sums: tuple[float, float]) -> Snapshot:
        """Returns the state at the end of an epoch, without what is stacked with that of the other models."""
        return Snapshot(
            epochs=len(self.result.history),
            metrics=metrics,
            train_sums=sums,
            groups=self.optimizer.state_dict()["param_groups"],
            schedulers=[copy.deepcopy(entry["scheduler"].state_dict()) for entry in self.schedulers],
            stopping=self.stopping.state_dict() if self.stopping else {},
            parameters={name: buffer.clone() for name, buffer in self.model.named_buffers()},
        )

    def _improves(self, score: float) -> bool:
        sign = 1 if self.checkpoint and self.checkpoint.mode == "max" else -1
        better = math.isnan(self.best_score) or sign * score > sign * self.best_score
        self.best_score = score if better else self.best_score
        return better

    @property
    def _by_step(self) -> bool:
        return any(entry["interval"] == "step" for entry in self.schedulers)

    def _advance(self, interval: str) -> None:
        for entry in self.schedulers:
            if entry["interval"] == interval and not isinstance(entry["scheduler"], ReduceLROnPlateau):
                entry["scheduler"].step()


def build_members(jobs: Sequence[Job]) -> list[Member | None]:
    """Builds the parts of all runs, on the same data. A run whose config is invalid is None.

    Raises:
        SeededDataError: if the data depends on the seed.
    """
    members: list[Member | None] = []
    datamodule: DataSource | None = None
    for job in jobs:
        config = copy.deepcopy(job.config)
        try:
            check_ranges(config)
            check_accelerator(config["accelerator"])
            config["seed"] = seed_everything(config["seed"])
            datamodule = datamodule or build_shared_data(config)
            members.append(build_member(build_parts(config, job.overrides, datamodule), config))
        except SeededDataError:
            raise
        except InputError:
            members.append(None)
    return members


def build_shared_data(config: dict[str, Any]) -> DataSource:
    """Builds the data of all runs.

    Raises:
        SeededDataError: if it draws random numbers, so that it depends on the seed of the run.
    """
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    datamodule = build_data(config)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    if not torch.equal(before[0], after[0]) or before[1:] != after[1:]:
        raise SeededDataError(
            f"data={type(datamodule).__name__}: hydra/launcher=vmap trains all models on the same data, and this "
            f"depends on the seed of the run; {INSTEAD}"
        )
    return datamodule


def build_member(parts: Parts, config: dict[str, Any]) -> Member:
    """Builds the optimizer and the schedules of a run."""
    model, epochs = parts.model, config["trainer"]["max_epochs"]
    batches = len(parts.datamodule.train_dataloader())
    optimizer = build_optimizer(model.optimizer, model, model.l2)
    optimizer.step()  # Without gradients, this only tells the schedulers that they may take a step, too.
    kinds: dict[type, Any] = {type(callback): callback for callback in parts.callbacks}
    nothing = Snapshot(0, {}, (0.0, 0.0), [], [], {})
    member = Member(
        parts=parts,
        result=Trained(parts.datamodule, config["seed"], batches, epochs, nothing),
        optimizer=optimizer,
        schedulers=model.schedule.build(optimizer, batches * epochs, epochs),
        clip=config["trainer"]["gradient_clip_val"] or math.inf,
        stopping=kinds.get(EarlyStopping),
        checkpoint=kinds.get(Checkpoint),
    )
    if config["resume"]:
        resume_member(member, config["resume"])
    member.result.last = member.snapshot({}, (0.0, 0.0))
    return member


def resume_member(member: Member, source: str) -> None:
    """Gives a model the state of an earlier run.

    Raises:
        InputError: if the run cannot be resumed, is complete, or was cut off within an epoch.
    """
    content = reading.read_checkpoint(reading.find_checkpoint(source, ("last",)))
    check_training_state(content)
    epochs, loops = content["epoch"] + 1, content["loops"]["fit_loop"]
    if not content["global_step"]:
        return
    if not loops["epoch_loop.batch_progress"]["is_last_batch"] or epochs >= member.result.max_epochs:
        raise InputError(f"resume={source}: the run was not cut off between two epochs")
    member.model.load_state_dict(content["state_dict"])
    member.optimizer.load_state_dict(content["optimizer_states"][0])
    for entry, state in zip(member.schedulers, content["lr_schedulers"], strict=True):
        entry["scheduler"].load_state_dict(state)
    states = content["callbacks"]
    if member.stopping and member.stopping.state_key in states:
        member.stopping.load_state_dict(states[member.stopping.state_key])
    if member.checkpoint and (state := states.get(member.checkpoint.state_key)):
        score = state["best_model_score"]
        member.best_score = math.nan if score is None else float(score)
    member.result.history = [{}] * epochs  # They are in the files of the run already.
