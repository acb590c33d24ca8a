"""Trains several small models at once, each with its own seed, optimizer settings and schedule.

All models are computed by the same operations on stacked parameters, which takes little longer than one model alone as
long as the models are small. Their results are those of training them one after the other, up to rounding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from primer.batch import Batch
from primer.callbacks import Progress
from primer.data.base import DataModule
from primer.data.loading.loader import TensorLoader
from primer.errors import InputError
from primer.models.base import Step
from primer.models.base.stacked import StackedModel
from primer.optim.stacked import Numbers, StackedOptimizer
from primer.records.console import say
from primer.records.library_logs import redirect_library_logs
from primer.records.signals import signals
from primer.run.members import Job, Member, build_members
from primer.run.replay import Snapshot, Trained
from primer.run.stacking import INSTEAD, check_configs, check_parts

CPU = SingleDeviceStrategy(torch.device("cpu"))
"""Where metrics are computed."""

State = dict[str, Tensor]
"""The parameters, buffers and optimizer state of all models, by name, with the models in the first dimension."""


def train_together(jobs: Sequence[Job]) -> list[Trained | None]:
    """Trains the models of several runs at once.

    Args:
        jobs: the runs. They may differ in what ``primer.run.stacking`` lists.

    Returns:
        The result of each run, to be passed to ``train``; None if its config is invalid, for which ``train`` raises the
        error, or if it is resumed from another epoch than most, so that it has to train by itself.

    Raises:
        InputError: if the runs cannot be trained together.
    """
    redirect_library_logs()
    check_configs([job.config for job in jobs])
    members = build_members(jobs)
    trained = at_one_epoch([member for member in members if member is not None])
    if trained:
        check_parts(trained[0].parts)
        Training(trained, jobs[members.index(trained[0])].config).run()
    return [member.result if member in trained else None for member in members]


def at_one_epoch(members: list[Member]) -> list[Member]:
    """Returns those of the members that have been trained for the same number of epochs, as most of them."""
    epochs = [member.result.last.epochs for member in members]
    return [member for member in members if member.result.last.epochs == max(epochs, key=epochs.count)]


class Training:
    """The training of several models.

    Args:
        members: the models.
        config: the resolved config of one of them.

    Raises:
        InputError: if the model cannot be computed for several sets of parameters at once.
    """

    def __init__(self, members: Sequence[Member], config: dict[str, Any]) -> None:
        settings: dict[str, Any] = {name: config["accelerator"][name] for name in ("accelerator", "devices")}
        trainer = L.Trainer(
            **settings, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
        )
        self.device = trainer.strategy.root_device
        data = members[0].parts.datamodule
        assert isinstance(data, DataModule)
        data.trainer = trainer  # Loaders are on its device.
        self.loader, self.val_loader = data.train_dataloader(), data.val_dataloader()
        data.trainer = None
        assert isinstance(self.loader, TensorLoader)
        if self.loader.data.inputs.device != self.device:
            raise InputError(f"hydra/launcher=vmap: the data does not fit on the device; {INSTEAD}")
        self.algorithm = config["trainer"]["gradient_clip_algorithm"] or "norm"
        self.members = list(members)
        self.model = StackedModel([member.model for member in members], self.device)
        optimizers = [member.optimizer for member in members]
        self.optimizer = StackedOptimizer(optimizers, self.model.values.detach(), self.model.decayed)
        if (epochs := members[0].result.last.epochs) > 0:
            self.optimizer.load_state([member.optimizer_state() for member in members], epochs * len(self.loader))
        self.generator = torch.Generator(self.device)
        self.best = self.copy_state()
        self.validation_seconds = 0.0
        self.check_model()

    def check_model(self) -> None:
        """Computes a step of two samples, and leaves the models as they are."""
        before = self.copy_state()
        try:
            batch, shared = self.batch(torch.zeros(len(self.members), 2, dtype=torch.long, device=self.device))
            step = self.model.step(batch.inputs, batch.targets, shared)
            torch.autograd.grad(step.losses.sum(), self.model.values)
        except (RuntimeError, NotImplementedError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            random = "random operation" in str(error)
            reason = "random layers, such as dropout" if random else f"its layers: {str(error).splitlines()[0]}"
            name = type(self.members[0].model).__name__
            raise InputError(f"model={name}: hydra/launcher=vmap does not support {reason}; {INSTEAD}") from error
        for name, buffer in self.model.buffers.items():
            buffer.copy_(before[f"buffer.{name}"])

    def run(self) -> None:
        """Trains until each model has reached its last epoch, stopped early or diverged, or a signal is received."""
        count, started = len(self.members), time.perf_counter()
        members, parameters = list(self.members), self.model.values.shape[1]
        say(f"training {count} models of {parameters:,} parameters together on {self.device}")
        signals.deferring = True
        try:
            while self.members and not signals.received:
                self.run_epoch()
            self.interrupt(self.state())
        finally:
            signals.deferring = False
        for member in members:
            member.result.seconds = (time.perf_counter() - started) / count
            member.result.validation_seconds = self.validation_seconds / count

    def run_epoch(self) -> None:
        """Trains and validates one epoch, and takes out the models that it was the last one of."""
        began, before = time.perf_counter(), self.copy_state()
        steps = self.train_epoch()
        if signals.received:
            self.interrupt(before)
            return
        losses, counts = (torch.stack(values).cpu() for values in zip(*steps, strict=True))
        for row, member in enumerate(self.members):
            member.result.divergence = member.divergence(losses[:, row].tolist())
        validated = self.validate()
        best: list[int] = []
        ended: list[int] = []
        diverged: list[int] = []
        for row, (member, metrics) in enumerate(zip(self.members, validated, strict=True)):
            total, number = float((losses[:, row] * counts[:, row]).sum()), float(counts[:, row].sum())
            if not member.result.divergence:
                metrics |= {"train/loss": total / number, "lr": member.lr()}
                is_best, ends = member.finish_epoch(metrics, (total, number))
                best += [row] if is_best else []
                ended += [row] if ends and not member.result.divergence else []
            diverged += [row] if member.result.divergence else []
        self.remember_best(best)
        if self.members[0].has(Progress):
            say(self.describe_epoch(began))
        self.collect(diverged, before)
        self.collect(ended, self.state())
        self.keep([row for row in range(len(self.members)) if row not in (*diverged, *ended)])

    def train_epoch(self) -> list[tuple[Tensor, Tensor]]:
        """Takes the steps of an epoch, or fewer if a signal is received. Returns the losses and the numbers of targets,
        ``(models,)``, of each step."""
        epoch = len(self.members[0].result.history)
        starts = self.loader.batch_starts()
        hyper = [list(step) for step in zip(*(m.hyper_parameters(len(starts) - 1) for m in self.members), strict=True)]
        coefficients = self.optimizer.coefficients(hyper, self.device)
        order = self.sample_order(epoch)
        l1 = torch.tensor([member.model.l1 for member in self.members], device=self.device)
        clip = torch.tensor([member.clip for member in self.members], device=self.device)[:, None]
        penalizes, clips = bool(l1.any()), bool(clip.isfinite().any())
        steps: list[tuple[Tensor, Tensor]] = []
        self.model.train()
        for (start, end), numbers in zip(pairwise(starts), coefficients, strict=True):
            if signals.received:
                break
            batch, shared = self.batch(order[:, start:end])
            step = self.model.step(batch.inputs, batch.targets, shared)
            loss = step.losses.sum()
            if penalizes:
                loss = loss + l1 @ (self.model.values.abs() * self.model.decayed).sum(1)
            (gradient,) = torch.autograd.grad(loss, self.model.values)
            self.update(self.clip(gradient, clip) if clips else gradient, numbers)
            steps.append((step.losses.detach(), step.counts.detach()))
        return steps

    @torch.no_grad()
    def update(self, gradient: Tensor, numbers: Numbers) -> None:
        """Takes a step of all optimizers."""
        self.optimizer.step(self.model.values, gradient, numbers)

    def clip(self, gradient: Tensor, limit: Tensor) -> Tensor:
        """Clips the gradient of each model, ``(models, parameters)``, by its norm or by value, as Lightning does."""
        if self.algorithm == "value":
            return gradient.clamp(-limit, limit)
        return gradient * (limit / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)

    def sample_order(self, epoch: int) -> Tensor:
        """Returns the samples of an epoch in the order of each model, ``(models, samples)``; one row if all models have
        the same."""
        if not self.loader.shuffle:
            return torch.arange(self.loader.size, device=self.device)[None]
        rows = []
        for member in self.members:
            loader = copy.copy(self.loader)
            loader.seed = member.result.seed
            loader.set_epoch(epoch)
            rows.append(torch.cat(list(loader.batch_rows(0))))  # type: ignore[arg-type]
        return torch.stack(rows).to(self.device)

    def batch(self, rows: Tensor) -> tuple[Batch, bool]:
        """Returns the batch of each model, and whether it is the same for all of them."""
        loader, shared = self.loader, len(rows) == 1
        assert isinstance(loader, TensorLoader)
        batch = loader.data.select(rows.flatten())
        if loader.transform:
            batch = loader.transform(batch, self.generator)  # It draws nothing without augmentation.
        if shared:
            return batch, True
        assert batch.targets is not None
        return Batch(batch.inputs.unflatten(0, rows.shape), batch.targets.unflatten(0, rows.shape)), False

    @torch.no_grad()
    def validate(self) -> list[dict[str, float]]:
        """Returns the validation metrics of each model that has not diverged."""
        began = time.perf_counter()
        members = [(row, member) for row, member in enumerate(self.members) if not member.result.divergence]
        self.model.train(False)
        for _, member in members:
            member.model.eval()
            member.model.evaluation.start_stage("val", CPU.root_device)
        for batch in self.val_loader:
            step = self.model.step(batch.inputs, batch.targets, shared=True)
            losses, counts, outputs = step.losses.cpu(), step.counts.tolist(), step.outputs.cpu()
            on_cpu = Batch(batch.inputs.cpu(), None if batch.targets is None else batch.targets.cpu())
            for row, member in members:
                model, result = member.model, Step(losses[row], int(counts[row]), outputs[row])
                predict = partial(model.predict_batch, on_cpu, result.outputs)
                model.evaluation.evaluate("val", result, on_cpu, predict)
        found: list[dict[str, float]] = [{} for _ in self.members]
        for row, member in members if self.val_loader else ():
            values = member.model.evaluation.finish_stage("val", CPU)
            found[row] = {f"val/{name}": value.item() for name, value in values.items()}
        self.validation_seconds += time.perf_counter() - began
        return found

    def state(self) -> State:
        """Returns the parameters, buffers and optimizer state."""
        buffers = {f"buffer.{name}": value for name, value in self.model.buffers.items()}
        return {"values": self.model.values.detach(), **self.optimizer.state, **buffers}

    def copy_state(self) -> State:
        """Returns a copy of ``state``."""
        return {name: value.clone() for name, value in self.state().items()}

    def remember_best(self, rows: list[int]) -> None:
        """Copies the state of the models in some rows, whose latest epoch is their best."""
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        for name, value in self.state().items():
            self.best[name][index] = value[index]

    def interrupt(self, state: State) -> None:
        """Takes out all models that are left, because of a signal, with their state at the end of an epoch."""
        for member in self.members:
            member.result.signal = signals.received
        self.collect(range(len(self.members)), state)
        self.keep([])

    def collect(self, rows: Sequence[int], state: State) -> None:
        """Completes the results of the models in some rows.

        Args:
            rows: the rows.
            state: the state of all models that the latest snapshots of these are of.
        """
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        last, best = ({name: value[index].cpu() for name, value in one.items()} for one in (state, self.best))
        for place, row in enumerate(rows):
            result = self.members[row].result
            self.fill(result.last, {name: value[place] for name, value in last.items()})
            if result.best is not None and result.best is not result.last:
                self.fill(result.best, {name: value[place] for name, value in best.items()})

    def fill(self, snapshot: Snapshot, state: State) -> None:
        """Adds the state of one model to its snapshot."""
        snapshot.parameters |= self.model.parameters(state["values"])
        snapshot.parameters |= {name: state[f"buffer.{name}"] for name in self.model.buffers}
        used = self.optimizer.rule.state(snapshot.groups[0])
        snapshot.optimizer = {name: self.model.parameters(state[name]) for name in used}

    def keep(self, rows: list[int]) -> None:
        """Keeps the models in some rows."""
        if len(rows) == len(self.members):
            return
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        self.members = [self.members[row] for row in rows]
        self.model.select(index)
        self.optimizer.state = {name: value[index] for name, value in self.optimizer.state.items()}
        self.best = {name: value[index] for name, value in self.best.items()}

    def describe_epoch(self, began: float) -> str:
        """Returns the line that is printed after an epoch, with the lowest and the highest of each loss."""
        rows = [member.result.history for member in self.members if not member.result.divergence]
        cells = []
        for name in ("train/loss", "val/loss"):
            if values := [history[-1][name] for history in rows if name in history[-1]]:
                cells.append(f"{name} {min(values):.4g} to {max(values):.4g}")
        epoch, last = max((len(history) for history in rows), default=0), self.members[0].result.max_epochs
        models = f"{len(rows)} models" if len(rows) != 1 else "1 model"
        return "  ".join([f"epoch {epoch}/{last}", models, *cells, f"{time.perf_counter() - began:.1f} s"])
