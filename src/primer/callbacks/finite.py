"""Ends a run that has diverged, and says where."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor, nn
from torch.optim import LBFGS
from torch.utils._pytree import tree_leaves

from primer.batch import Batch
from primer.errors import RunError
from primer.models.base import Model
from primer.models.base.trainer_internals import current_batch

WINDOW = 50
"""Number of losses that are checked together if reading one would wait for the device."""


class StopOnNaN(Callback):
    """Ends a run whose loss is not finite, or whose monitored metric is not a number.

    On a CPU, each loss is checked before its gradients are computed, so that the layer where the forward pass overflows
    is found, and the weights stay as they were. On other devices, and with several processes, losses are checked
    ``WINDOW`` at a time, since reading one waits for the device.

    Raises:
        RunError: names the step, the batch and the first layer with such an output, and the last good checkpoint.
    """

    def __init__(self) -> None:
        self._at_once = False
        self._losses: list[Tensor] = []
        self._places: list[tuple[int, int]] = []

    def on_train_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._at_once = trainer.world_size == 1 and pl_module.device.type == "cpu"
        self._losses, self._places = [], []
        if any(isinstance(optimizer, LBFGS) for optimizer in trainer.optimizers):
            # Its line search may try weights whose loss is not finite, and recovers.
            self.on_before_backward = None  # type: ignore[assignment, method-assign]

    def on_before_backward(self, trainer: Trainer, pl_module: Model, loss: Tensor) -> None:
        if self._at_once:
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(trainer, pl_module, value, trainer.global_step, trainer.fit_loop.batch_idx)
        elif loss.dtype is not torch.float16:  # A scaled loss may overflow: the scaler skips its step.
            self._losses.append(loss.detach())
            self._places.append((trainer.global_step, trainer.fit_loop.batch_idx))
            if len(self._losses) == WINDOW:
                self._check_window(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._check_window(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not trainer.sanity_checking:
            self._check_metrics(trainer, "val/loss")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._check_window(trainer, pl_module)
        self._check_metrics(trainer, "train/loss")

    def _check_window(self, trainer: Trainer, model: Model) -> None:
        losses, places, self._losses, self._places = self._losses, self._places, [], []
        if not losses:
            return
        stacked = torch.stack([loss.float() for loss in losses])
        if trainer.world_size > 1:
            reduced = trainer.strategy.reduce(stacked, reduce_op="sum")
            assert isinstance(reduced, Tensor)
            stacked = reduced
        for value, place in zip(stacked.tolist(), places, strict=True):
            if not math.isfinite(value):
                raise self._diverged(trainer, model, value, *place)

    def _check_metrics(self, trainer: Trainer, loss: str) -> None:
        monitored = {getattr(callback, "monitor", None) for callback in trainer.callbacks}  # type: ignore[attr-defined]
        for name, value in trainer.callback_metrics.items():
            if (name == loss and not value.isfinite()) or (name in monitored and value.isnan()):
                reason = describe_weights(trainer)
                raise diverged(trainer, f"{name} is {value.item()}" + (f", and {reason}" if reason else ""))

    def _diverged(self, trainer: Trainer, model: Model, loss: float, step: int, batch: int) -> RunError:
        layer = describe_first_layer(trainer, model, current_batch(trainer))
        reason = f"the loss is {loss}" + (f", and {layer}" if layer else "")
        return diverged(trainer, reason, step + 1, batch + 1)


def diverged(trainer: Trainer, reason: str, step: int | None = None, batch: int | None = None) -> RunError:
    """Returns the error of a diverged run.

    Args:
        trainer: of the run.
        reason: what is not finite.
        step: the optimizer step in which it was found, counted from 1; by default the latest one.
        batch: its batch in the epoch, counted from 1, if known.
    """
    step = trainer.global_step if step is None else step
    place = f"epoch {trainer.current_epoch + 1}" + ("" if batch is None else f", batch {batch:,}")
    files = [Path(path) for path in (getattr(c, "best_model_path", "") for c in trainer.checkpoint_callbacks) if path]
    latest = max((file for file in files if file.is_file()), key=lambda file: file.stat().st_mtime, default=None)
    kept = f"the last good checkpoint is {os.path.relpath(latest)}" if latest else "no checkpoint was saved before"
    return RunError(
        f"diverged in step {step:,} ({place}): {reason}; try a lower optimizer.lr or trainer.gradient_clip_val=1; "
        f"{kept}"
    )


def describe_weights(trainer: Trainer) -> str | None:
    """Names the first parameter or buffer that is not finite; None if all are, in any process."""
    model = trainer.lightning_module
    named = [(n, t) for n, t in (*model.named_parameters(), *model.named_buffers()) if t.is_floating_point()]
    if not named:
        return None
    finite = torch.stack([tensor.isfinite().all() for _, tensor in named])
    if trainer.world_size > 1:
        reduced = trainer.strategy.reduce(finite.float(), reduce_op="min")  # type: ignore[arg-type]
        assert isinstance(reduced, Tensor)
        finite = reduced.bool()
    if finite.all():
        return None
    name, _ = named[finite.tolist().index(False)]
    return f"the weight {name} is not finite"


def describe_first_layer(trainer: Trainer, model: Model, batch: Any) -> str | None:
    """Runs a batch again, and names the first layer whose output is not finite; None if there is none."""
    if not isinstance(batch, Batch):
        return None
    if not all_finite(batch.inputs):
        return "the inputs are not finite"

    def check(layer: nn.Module, arguments: Any, outputs: Any) -> None:
        if not all_finite(outputs):
            raise _FoundError(names[layer])

    names = {layer: name for name, layer in model.named_modules() if name and not next(layer.children(), None)}
    hooks = [layer.register_forward_hook(check) for layer in names]
    try:
        with torch.no_grad(), trainer.precision_plugin.forward_context(), torch.compiler.set_stance("force_eager"):
            model.step(batch)
    except _FoundError as found:
        name = str(found)
        broken = next((n for n, p in model.get_submodule(name).named_parameters() if not all_finite(p)), None)
        return f"the first layer whose output is not finite is {name}" + (f", as is its {broken}" if broken else "")
    finally:
        for hook in hooks:
            hook.remove()
    return None


class _FoundError(Exception):
    """Ends a forward pass in the layer of this name."""


def all_finite(values: Any) -> bool:
    """Returns whether all numbers in a structure of tensors are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in floating_tensors(values))


def floating_tensors(values: Any) -> Iterator[Tensor]:
    for value in tree_leaves(values):
        if isinstance(value, Tensor) and value.is_floating_point():
            yield value
