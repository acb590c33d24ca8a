"""Cuts what Lightning costs per step: together a quarter of a step at batch size 16.

Everything here relies on names that are private to Lightning; ``tests/models/base/test_overhead.py`` checks that they
still exist.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeVar

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.core.hooks import DataHooks
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor

from primer.batch import Batch

# Lightning asks NVIDIA's driver for the number of GPUs before each optimizer step, which takes a tenth of a millisecond
# if there is none; PyTorch's own answer is immediate. Only forking after CUDA has started needs the former.
os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

PLAIN_ATTRIBUTES = ("_current_fx_name", "_latest", "_counted", "_optimized", "_penalized")
"""Attributes that are set at every step and never hold a module or a parameter. Lightning sets the first one some forty
times a step."""

BATCH_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")

NOTHING = nullcontext()

Function = TypeVar("Function", bound=Callable[..., Any])


def with_signature(function: Function) -> Function:
    """Stores the signature of a function on it. Lightning inspects that of ``training_step`` at every step."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return function


class LowOverheadModule(L.LightningModule):
    """A ``LightningModule`` with cheaper attributes and batch hooks."""

    _transfers_plainly = False
    """Whether neither the model nor its data overrides a batch hook, so that none has to be looked up."""

    def __setattr__(self, name: str, value: Any) -> None:
        # nn.Module looks for the kind of each value, which takes as long as a small layer.
        if name in PLAIN_ATTRIBUTES:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _call_batch_hook(self, hook_name: str, *args: Any) -> Any:
        # Lightning looks up who overrides each of three hooks for every batch.
        if self._transfers_plainly and isinstance(args[0], Batch):
            return args[0].to(args[1]) if hook_name == "transfer_batch_to_device" else args[0]
        return super()._call_batch_hook(hook_name, *args)

    def find_batch_hooks(self) -> None:
        """Looks once, at the start of a run, who overrides a batch hook."""
        owners = [type(owner) for owner in (self, getattr(self.trainer, "datamodule", None)) if owner]
        self._transfers_plainly = all(
            getattr(owner, hook) is getattr(DataHooks, hook) for owner in owners for hook in BATCH_HOOKS
        )


class NoProfiler(PassThroughProfiler):
    """Measures nothing. Lightning opens some forty contexts per step; here they are one object that does nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NOTHING


def logged_sums(trainer: L.Trainer) -> dict[str, list[Tensor]]:
    """What the training steps of this epoch have logged so far: by name, the sum and the number of samples. Lightning
    leaves it out of checkpoints."""
    found = {}
    for name, metric in (trainer.fit_loop.epoch_loop._results or {}).items():
        if metric.is_tensor and metric.meta.on_epoch and metric.meta.is_mean_reduction:
            found[name] = [metric.value.clone(), metric.cumulated_batch_size.clone()]
    return found


def add_logged_sums(trainer: L.Trainer, saved: dict[str, list[Tensor]]) -> None:
    """Adds what ``logged_sums`` returned, once the first step of a resumed epoch has logged."""
    for name, metric in (trainer.fit_loop.epoch_loop._results or {}).items():
        if name in saved:
            value, count = saved[name]
            metric.value = metric.value + value.to(metric.value)
            metric.cumulated_batch_size = metric.cumulated_batch_size + count.to(metric.cumulated_batch_size)


def step_uncounted(optimizer: LightningOptimizer) -> None:
    """Takes a step that does not count as a global step of the trainer. Lightning counts each step of each optimizer;
    ``trainer.max_steps`` is about training steps, each of which may move several optimizers."""
    hooks = optimizer._on_before_step, optimizer._on_after_step
    optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
    try:
        optimizer.step()
    finally:
        optimizer._on_before_step, optimizer._on_after_step = hooks


class CachedStateKey(ModelCheckpoint):
    """A checkpoint callback that makes its key once. Lightning asks for it some six times per step."""

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        return f"{super().state_key}{self.filename}"
