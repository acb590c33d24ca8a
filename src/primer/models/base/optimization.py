"""Optimization of a model with one or several optimizers, each with the schedule, penalties, gradient clipping and
accumulation of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from primer.errors import InputError
from primer.models.base.overhead import step_uncounted
from primer.models.base.step import Step
from primer.models.base.weighting import SINGLE, Weighting
from primer.optim import Schedule, build_optimizer, decayed, penalizes
from primer.optim.groups import OptimizerFactory, rate_factors

NEVER = 2**62
"""A frequency that Lightning never reaches: ``advance_plateaus`` steps plateau schedules after each validation."""


class Optimization(Weighting):
    """The part of ``Model`` that owns the optimizers.

    A model with one optimizer returns the loss from ``training_step``, and Lightning does the rest. A model with
    several optimizers overrides ``optimizer_groups``, and its ``training_step`` calls ``optimize`` for each of them.

    Attributes:
        optimizer: optimizer class or a partial of one, Adam by default; each group gets its own instance.
        schedule: learning rate schedule, constant by default; each optimizer gets its own instance.
        l1, l2: coefficients of the penalties on weights; biases and normalization parameters are not penalized.
        lowest_rate: factor of the learning rate in the layers next to the input; from there it grows geometrically with
            depth, up to the full rate in the last layer (Howard and Ruder 2018, section 3.2).
        gradient_clip_val, gradient_clip_algorithm, accumulate_grad_batches: as in ``lightning.Trainer``, which rejects
            them for models with several optimizers.
        run_length: number of steps and of epochs in the run; ``inf`` if only a time limit ends it.
    """

    sums_gradients: ClassVar[bool] = False
    """Whether a step adds up the gradients of all targets, instead of averaging them: for losses of which each target
    updates few parameters. Losses that are logged are means in either case."""

    optimizer: OptimizerFactory
    schedule: Schedule
    l1: float
    l2: float
    lowest_rate: float
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    run_length: tuple[int | float, int | float]

    def init_optimization(self) -> None:
        """Sets the defaults of all attributes."""
        self.optimizer, self.schedule = torch.optim.Adam, Schedule()
        self.l1 = self.l2 = 0.0
        self.lowest_rate = 1.0
        self.gradient_clip_val = self.gradient_clip_algorithm = None
        self.accumulate_grad_batches = 1
        self.run_length = 0, 0
        self.automatic_optimization = not self.has_optimizer_groups()
        self._windows = {}
        self._batches: dict[str, int] = {}
        self._counted = self._optimized = self._penalized = False

    # Groups of parameters.

    def optimizer_groups(self) -> dict[str, nn.Module]:
        """Returns the part of the model that each optimizer updates, by name. Parameters in no group are not updated,
        such as those of a target network. A parameter cannot be in two groups."""
        return {SINGLE: self}

    def group_length(self, name: str) -> tuple[int | float, int | float]:
        """Returns the number of steps of a group's optimizer in the run, and of epochs. A model that does not call
        ``optimize`` for each group in each step overrides it, so that the group's schedule ends with the run."""
        return self.run_length

    @classmethod
    def has_optimizer_groups(cls) -> bool:
        """Returns whether the model overrides ``optimizer_groups``, and therefore calls ``optimize``."""
        return cls.optimizer_groups is not Optimization.optimizer_groups

    def depth_groups(self) -> list[list[nn.Module]]:
        """Returns the layers from input to output, in groups that have the same learning rate and are frozen together.
        By default, each child with parameters is a group, in the order of the constructor."""
        children = (child for child in self.children() if child is not getattr(self, "objective", None))
        return [[child] for child in children if next(child.parameters(), None) is not None]

    def sparse_parameters(self) -> Iterable[nn.Parameter]:
        """Yields the parameters with sparse gradients: by default, the weights of embeddings with ``sparse=True``."""
        for layer in self.modules():
            if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.sparse:
                yield layer.weight  # type: ignore[misc]

    def penalty(self, part: nn.Module | None = None) -> Tensor:
        """Computes the penalty that is added to the loss: L1, and L2 for optimizers without weight decay.

        Args:
            part: part of the model to penalize; by default, all of it.
        """
        weights, _ = decayed(self if part is None else part)
        terms = torch.zeros((), device=self.device)
        if self.l1:
            terms = terms + self.l1 * sum(weight.abs().sum() for weight in weights)
        if self.l2 and penalizes(self.optimizer):
            terms = terms + self.l2 / 2 * sum(weight.square().sum() for weight in weights)
        return terms

    @property
    def has_penalty(self) -> bool:
        """Whether a penalty is added to the loss."""
        return bool(self.l1 or (self.l2 and penalizes(self.optimizer)))

    # A training step.

    def training_loss(self, step: Step) -> Tensor:
        """Returns the loss to backpropagate: with penalties, and weighted by ``weigh``."""
        self._penalized = True
        if self.sums_gradients:  # Lightning divides by the number of accumulated batches.
            loss = step.loss * step.count * self.accumulated_batches()
            return loss + self.penalty() if self.has_penalty else loss
        loss = step.loss + self.penalty() if self.has_penalty else step.loss
        return self.weigh(loss, step.count)

    def optimize(self, name: str, step: Step, **backward: Any) -> None:
        """Backpropagates a loss to the parameters of one group and, once enough batches are accumulated, steps its
        optimizer. Call it from ``training_step``. Penalties, clipping, mixed precision and the schedule apply as for a
        model with one optimizer.

        Args:
            name: name of the group.
            step: the loss and the number of targets that it is averaged over.
            backward: passed on to ``manual_backward``, such as ``retain_graph=True``.

        Raises:
            InputError: if the group does not exist.
        """
        groups = self.optimizer_groups()
        if name not in groups:
            raise InputError(f"{type(self).__name__} optimizes {name!r}, but its groups are {', '.join(groups)}")
        self._optimized = self._penalized = True
        number = list(groups).index(name)
        optimizer = self._lightning_optimizers()[number]
        loss = step.loss + self.penalty(groups[name]) if self.has_penalty else step.loss
        loss = self.weigh(loss, step.count, name) / self.accumulate_grad_batches
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.manual_backward(loss, inputs=[p for p in parameters if p.requires_grad], **backward)
        self._batches[name] = self._batches.get(name, 0) + 1
        if self._batches[name] % self.accumulate_grad_batches and not self.trainer.is_last_batch:
            return
        self._batches[name] = 0
        if self._counted:
            step_uncounted(optimizer)
        else:
            optimizer.step()
            self._counted = True
        optimizer.zero_grad()
        self._advance_schedules("step", [optimizer.optimizer])

    def _lightning_optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]  # type: ignore[list-item]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if not self._windows and self.automatic_optimization:  # Nothing to do, at no cost.
            return
        name, part = self._group_of(optimizer)
        if self._windows.get(name):
            factor = self.correction(name)
            for parameter in part.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
            self._windows[name] = []
        if self.gradient_clip_val and not self.automatic_optimization:
            self.trainer.precision_plugin.clip_gradients(
                optimizer,
                self.gradient_clip_val,
                self.gradient_clip_algorithm or "norm",  # type: ignore[arg-type]
            )

    def _group_of(self, optimizer: torch.optim.Optimizer) -> tuple[str, nn.Module]:
        groups = list(self.optimizer_groups().items())
        number = next((k for k, candidate in enumerate(self.trainer.optimizers) if candidate is optimizer), 0)
        return groups[number] if number < len(groups) else (SINGLE, self)

    # Optimizers and schedules.

    def configure_optimizers(self) -> Any:
        trainer, groups = self.trainer, self.optimizer_groups()
        _check_disjoint(type(self).__name__, groups)
        clip = trainer.gradient_clip_val or self.gradient_clip_val
        clips_scaled = trainer.precision == "16-mixed" and bool(clip)
        factors = rate_factors(self.depth_groups(), self.lowest_rate) if self.lowest_rate != 1 else None
        sparse = list(self.sparse_parameters())
        for parameter in sparse:
            parameter.sparse = True  # type: ignore[attr-defined]  # Read by optimizers and penalties.
        if sparse and clip:
            raise InputError(
                "trainer.gradient_clip_val: sparse gradients cannot be clipped: remove it, or set model.sparse=false"
            )
        if self.has_optimizer_groups() and trainer.world_size > 1:
            raise InputError(
                f"{type(self).__name__} has several optimizers, which work in one process only: "
                "set accelerator.devices=1"
            )
        if self.has_optimizer_groups() and trainer.precision == "16-mixed" and self.accumulate_grad_batches > 1:
            # Each optimizer's step may change the scale of the loss, while the others' gradients have the old one.
            raise InputError(
                f"trainer.accumulate_grad_batches={self.accumulate_grad_batches}: {type(self).__name__} has several "
                "optimizers, which cannot accumulate gradients in 16-mixed precision: use bf16-mixed"
            )
        if (self.l1 or self.l2) and not any(decayed(part)[0] for part in groups.values()):
            raise InputError(
                f"regularization: {type(self).__name__} has no dense weights that L1 or L2 could act on: set "
                "regularization.l1=0 regularization.l2=0"
            )
        self.run_length = self.compute_run_length()
        optimizers, schedulers = [], []
        for name, part in groups.items():
            optimizer = build_optimizer(self.optimizer, part, self.l2, fused=not clips_scaled, factors=factors)
            self._check_optimizer(optimizer)
            optimizers.append(optimizer)
            for entry in self.schedule.build(optimizer, *self.group_length(name)):
                if isinstance(entry["scheduler"], ReduceLROnPlateau):
                    entry["frequency"] = NEVER
                schedulers.append(entry)
        return optimizers, schedulers

    def _check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        if not isinstance(optimizer, torch.optim.LBFGS):
            return
        if not self.automatic_optimization:
            raise InputError(
                f"LBFGS evaluates the loss several times per step, but {type(self).__name__} steps its optimizers "
                "manually: choose another optimizer"
            )
        if self.trainer.accumulate_grad_batches > 1:
            raise InputError(
                "LBFGS evaluates the loss of a batch several times per step and cannot accumulate batches: "
                f"trainer.accumulate_grad_batches={self.trainer.accumulate_grad_batches} must be 1; "
                "try data.batch_size=full"
            )

    def compute_run_length(self) -> tuple[int | float, int | float]:
        """Returns the number of steps and of epochs in the run. Infinite data is one epoch."""
        trainer = self.trainer
        if trainer.limit_train_batches == 0:
            raise InputError("trainer.limit_train_batches=0 leaves no training step")
        if math.isinf(trainer.num_training_batches):
            trainer.fit_loop.setup_data()
        timed = any(isinstance(callback, Timer) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        batches, epochs, steps = trainer.num_training_batches, trainer.max_epochs, trainer.max_steps
        per_epoch = batches if math.isinf(batches) else max(1, math.ceil(batches / self.accumulated_batches()))
        total = per_epoch * epochs if epochs is not None and epochs >= 0 else math.inf
        total = min(total, steps) if steps >= 0 else total
        if math.isinf(total) and not timed:
            raise InputError("a run needs an end: set trainer.max_epochs, trainer.max_steps or trainer.max_time")
        if math.isinf(per_epoch):
            return total, 1
        return total, total if math.isinf(total) else math.ceil(total / per_epoch)

    def _advance_schedules(self, interval: str, optimizers: list[Any] | None = None) -> None:
        """Steps the schedules of an interval. Lightning does not do so for models with several optimizers."""
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            if config.interval != interval or isinstance(scheduler, ReduceLROnPlateau):
                continue
            if optimizers is None or any(scheduler.optimizer is optimizer for optimizer in optimizers):
                scheduler.step()

    def rebuild_schedules(self) -> None:
        """Makes a resumed run whose length changed follow the schedule of its new length. Plateau schedules do not
        depend on the length."""
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            if any(isinstance(other.scheduler, ReduceLROnPlateau) for other in self.trainer.lr_scheduler_configs):
                return
            taken, (name, _) = scheduler.last_epoch, self._group_of(scheduler.optimizer)
            (entry,) = self.schedule.rebuild(scheduler.optimizer, *self.group_length(name), taken)
            config.scheduler = entry["scheduler"]

    def advance_plateaus(self, training: bool) -> None:
        """Steps the plateau schedules that monitor a metric of training, or else of validation, before a checkpoint is
        saved.

        Raises:
            InputError: if the metric was not logged.
        """
        monitor, known = str(self.schedule.monitor), self.trainer.callback_metrics
        for config in self.trainer.lr_scheduler_configs:
            if config.frequency != NEVER or is_training_metric(monitor) != training:
                continue
            if monitor not in known:
                raise InputError(
                    f"scheduler.monitor={monitor} was not logged; this run logs {', '.join(known) or 'nothing'}"
                )
            config.scheduler.step(known[monitor])  # type: ignore[call-arg, arg-type]


def is_training_metric(name: str) -> bool:
    """Returns whether a metric is logged in training; any other one is logged in validation."""
    return name.startswith("train/") or name == "lr"


def _check_disjoint(name: str, groups: dict[str, nn.Module]) -> None:
    """Raises ``InputError`` if two optimizers would update the same parameter."""
    owners: dict[int, str] = {}
    for group, part in groups.items():
        for parameter in part.parameters():
            if owners.setdefault(id(parameter), group) != group:
                raise InputError(f"{name}: the optimizers {owners[id(parameter)]!r} and {group!r} share a parameter")
