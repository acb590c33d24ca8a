"""Reduces Lightning's overhead per step, which is a quarter of a step at batch size 16.

Everything here relies on private names of Lightning; ``tests/models/base/test_overhead.py`` checks that they still
exist.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeVar

import lightning as L
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.core.hooks import DataHooks
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor

from primer.batch import Batch, Transition

# Lightning queries NVIDIA's driver for the number of GPUs before each optimizer step, which takes 0.1 ms if there is no
# GPU; PyTorch's own check is immediate. Only forking after CUDA has been initialized needs the former.
os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

PLAIN_ATTRIBUTES = ("_current_fx_name", "_latest", "_counted", "_optimized", "_penalized")
"""Attributes that are set at every step and never hold a module or a parameter. Lightning sets the first one about 40
times per step."""

BATCH_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")

CALLBACK_HOOKS = (
    "on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start",
    "on_test_batch_end",
)  # fmt: skip
"""Hooks that Lightning calls on every callback for every batch."""

NULL_CONTEXT = nullcontext()

Function = TypeVar("Function", bound=Callable[..., Any])


def with_signature(function: Function) -> Function:
    """Caches the signature of a function. Lightning inspects that of ``training_step`` at every step."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


class LowOverheadModule(L.LightningModule):
    """A ``LightningModule`` with faster attribute assignment and batch hooks."""

    _skips_batch_hooks = False
    """Whether neither the model nor its data overrides a batch hook, so that none has to be looked up."""

    def __setattr__(self, name: str, value: Any) -> None:
        # nn.Module checks the type of each value, which takes as long as a small layer.
        if name in PLAIN_ATTRIBUTES:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _call_batch_hook(self, hook_name: str, *args: Any) -> Any:
        # For every batch, Lightning looks up whether the model or the data overrides each of three hooks.
        if self._skips_batch_hooks and isinstance(args[0], Batch | Transition):
            return args[0].to(args[1]) if hook_name == "transfer_batch_to_device" else args[0]
        return super()._call_batch_hook(hook_name, *args)

    def find_batch_hooks(self) -> None:
        """Looks up, once at the start of a run, whether the model or its data overrides a batch hook."""
        owners = [type(owner) for owner in (self, getattr(self.trainer, "datamodule", None)) if owner]
        self._skips_batch_hooks = all(
            getattr(owner, hook) is getattr(DataHooks, hook) for owner in owners for hook in BATCH_HOOKS
        )


class NoProfiler(PassThroughProfiler):
    """A profiler that does nothing. Lightning opens about 40 contexts per step; here, they are one reused object."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NULL_CONTEXT


def remove_empty_hooks(trainer: L.Trainer) -> None:
    """Sets those hooks of the trainer's callbacks to None that do nothing. Lightning does not call an attribute that is
    not callable; it calls every other one in a context of its own, about 60 times per step."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for hook in CALLBACK_HOOKS:
            if getattr(getattr(callback, hook), "__func__", None) is getattr(L.Callback, hook):
                setattr(callback, hook, None)


def logged_sums(trainer: L.Trainer) -> dict[str, list[Tensor]]:
    """Returns, for each metric that training steps have logged in this epoch, what was accumulated and, for a mean, the
    number of samples. Lightning does not save them in checkpoints."""
    sums = {}
    for name, metric in (trainer.fit_loop.epoch_loop._results or {}).items():
        if metric.is_tensor and metric.meta.on_epoch:
            sums[name] = [metric.value.clone()]
            if metric.meta.is_mean_reduction:
                sums[name].append(metric.cumulated_batch_size.clone())
    return sums


def add_logged_sums(trainer: L.Trainer, saved: dict[str, list[Tensor]]) -> None:
    """Adds the result of ``logged_sums`` after the first step of a resumed epoch has logged."""
    for name, metric in (trainer.fit_loop.epoch_loop._results or {}).items():
        if name in saved:
            value, *count = (tensor.to(metric.value.device) for tensor in saved[name])
            if metric.meta.is_max_reduction or metric.meta.is_min_reduction:
                metric.value = metric.meta.reduce_fx(metric.value, value)
            else:
                metric.value = metric.value + value
            if count:
                metric.cumulated_batch_size = metric.cumulated_batch_size + count[0]


def unlogged_metrics(trainer: L.Trainer) -> dict[str, float]:
    """Returns the metrics of an epoch that has just ended; empty within an epoch. Lightning logs them only after the
    checkpoint callbacks have been called."""
    connector = trainer._logger_connector
    if connector._first_loop_iter is not None or trainer._results is None:
        return {}
    return convert_tensors_to_scalars(connector.metrics["log"])  # type: ignore[return-value]


def logged_step(trainer: L.Trainer) -> int:
    """Returns the step that Lightning logs metrics at the end of an epoch with."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped - 1


def step_uncounted(optimizer: LightningOptimizer) -> None:
    """Takes an optimizer step that does not increment the trainer's global step. Lightning counts each step of each
    optimizer, but ``trainer.max_steps`` limits training steps, which may step several optimizers."""
    hooks = optimizer._on_before_step, optimizer._on_after_step
    optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
    try:
        optimizer.step()
    finally:
        optimizer._on_before_step, optimizer._on_after_step = hooks


class CachedStateKey(ModelCheckpoint):
    """A checkpoint callback that computes its state key once. Lightning requests it about six times per step."""

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return f"{super().state_key}{self.filename}"
