"""Checks the state of the training in a checkpoint before a run is resumed from it.

Lightning, PyTorch and the callbacks restore what they find, and fail steps later. The state that a run would save
itself, before its first step, shows what they expect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypedDict

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer

from primer.checkpoints.random_state import check_random_state
from primer.config.types import check_type, shorten
from primer.errors import InputError

FREE: dict[str, Any] = {
    "state_dict": dict[str, Any],
    "logged_sums": dict[str, list[Tensor]],
    "model": dict[str, Any],
    "best_k_models": dict[str, Tensor],
    "metrics": dict[str, dict[str, Any]],
    "metrics_row": list[Any],
    "cuda": list[Tensor],
    "envs": list[Any],
    "images_by_epoch": dict[str, Tensor],
}
"""Entries that depend on how far a run is, or on its machine, with their types."""


class Counts(TypedDict):
    processed: int
    completed: int


class Progress(TypedDict):
    current: Counts


class BatchProgress(TypedDict):
    is_last_batch: bool


FitLoop = TypedDict(
    "FitLoop", {"state_dict": dict, "epoch_loop.batch_progress": BatchProgress, "epoch_progress": Progress}
)


class Loops(TypedDict):
    fit_loop: FitLoop


class TrainingState(TypedDict):
    """What a checkpoint has besides the model, unless it was saved with ``save_weights_only``."""

    loops: Loops
    callbacks: dict[str, Any]
    optimizer_states: list[dict[str, Any]]
    lr_schedulers: list[dict[str, Any]]


def check_training_state(content: dict[str, Any]) -> None:
    """Raises ``InputError`` unless a checkpoint has the state of a training, of this major version of Lightning."""
    check_type("the checkpoint", content, TrainingState)
    version = content.get("pytorch-lightning_version")
    if not isinstance(version, str) or not re.fullmatch(r"2\.\d+(\.\w+)*", version):
        raise InputError(f"the checkpoint was written by version {shorten(version)} of Lightning, not by 2.x")
    if "Resume" not in content["callbacks"]:
        raise InputError("the checkpoint does not have the state of the random number generators")
    if "current_model_state" in content:  # Of a run with an average of its weights.
        check_type("current_model_state", content["current_model_state"], dict[str, Tensor])
        check_like("current_model_state", content["current_model_state"], content["state_dict"])
        check_like("averaging_state", content.get("averaging_state"), {"n_averaged": torch.tensor(0)})


def check_restored(trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
    """Checks the loops and callbacks of a checkpoint against those of the run, before they are restored.

    Raises:
        InputError: for the first entry that is missing, unknown, or of another type or shape.
    """
    check_like("loops.fit_loop", checkpoint["loops"]["fit_loop"], trainer.fit_loop.state_dict())
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        state = checkpoint["callbacks"].get(callback.state_key)
        ours = type(callback).__module__.split(".")[0] in ("primer", "lightning")
        if state is not None and ours:
            check_like(f"callbacks.{callback.state_key.split('{')[0]}", state, callback.state_dict())
    check_random_state(checkpoint["callbacks"]["Resume"]["random_state"])
    plugin = trainer.precision_plugin
    name = type(plugin).__qualname__
    if name in checkpoint:
        check_like(name, checkpoint[name], plugin.state_dict())


def check_optimizers(trainer: L.Trainer, checkpoint: dict[str, Any]) -> None:
    """Checks the optimizers and schedules of a checkpoint against those of the run, before they are restored.

    Raises:
        InputError: as in ``check_restored``.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        return  # Each process has a part of them.
    optimizers, states = trainer.optimizers, checkpoint["optimizer_states"]
    if len(optimizers) != len(states):
        raise InputError(f"optimizer_states must have {len(optimizers)} entries, not {len(states)}")
    for index, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        check_optimizer(f"optimizer_states[{index}]", optimizer, state)
    schedulers = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
    check_like("lr_schedulers", checkpoint["lr_schedulers"], schedulers)


def check_optimizer(path: str, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Checks the state of an optimizer: the same groups, and for each parameter tensors that fit its shape."""
    expected = optimizer.state_dict()
    if not expected and not state:  # Lightning's stand-in for the optimizer of a model that has none.
        return
    check_type(path, state, TypedDict("State", {"state": dict[int, dict[str, Any]], "param_groups": list}))  # type: ignore[operator]
    check_like(f"{path}.param_groups", state["param_groups"], expected["param_groups"])
    sizes = [parameter.shape for group in optimizer.param_groups for parameter in group["params"]]
    total = sum(size.numel() for size in sizes)
    for index, entries in state["state"].items():
        where = f"{path}.state.{shorten(index)}"
        if not 0 <= index < len(sizes):
            raise InputError(f"{where}: there are only {len(sizes)} parameters")
        for name, value in entries.items():
            if isinstance(value, Tensor):
                # One number for each value, row or column of a parameter. L-BFGS has one vector for all parameters.
                if not (broadcasts(value.shape, sizes[index]) or value.numel() == total):
                    raise InputError(f"{where}.{name} has another shape than its parameter: {tuple(value.shape)}")
                if value.is_floating_point() and value.isnan().any():
                    raise InputError(f"{where}.{name} contains NaN")
            elif isinstance(value, str):
                raise InputError(f"{where}.{name} must be a tensor or a number, not {shorten(value)}")
    for group in expected["param_groups"]:
        every = [state["state"][index] for index in group["params"] if state["state"].get(index)]
        names = [{name for name, value in entries.items() if value is not None} for entries in every]
        if different := next((one for one in names if one != names[0]), None):
            raise InputError(f"{path}.state: only some parameters have {', '.join(sorted(different ^ names[0]))}")


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Returns whether a shape is that of a parameter, or of one number for all of it or for each row or column."""
    same_rank = len(shape) == len(to)
    return tuple(shape) in ((), (1,)) or (same_rank and all(a in (1, b) for a, b in zip(shape, to, strict=True)))


def check_like(path: str, value: Any, expected: Any) -> None:
    """Checks a value against one of the same structure.

    Raises:
        InputError: for the first entry that is missing, unknown, or of another type or shape.
    """
    key = path.rsplit(".", 1)[-1]
    if key in FREE:
        check_type(path, value, FREE[key])
    elif isinstance(expected, Tensor):
        check_type(path, value, Tensor)
        if value.shape != expected.shape or value.is_floating_point() != expected.is_floating_point():
            raise InputError(f"{path} must have the shape {tuple(expected.shape)}, not {tuple(value.shape)}")
    elif isinstance(expected, dict):
        check_type(path, value, dict)
        if different := [one for one in (*expected, *value) if one not in value or one not in expected]:
            problem = "does not have" if different[0] in expected else "must not have"
            raise InputError(f"{path} {problem} {shorten(different[0])}")
        for one, item in expected.items():
            check_like(f"{path}.{one}", value[one], item)
    elif isinstance(expected, list | tuple):
        check_type(path, value, list)
        if len(value) != len(expected):
            raise InputError(f"{path} must have {len(expected)} entries, not {len(value)}")
        for index, (one, item) in enumerate(zip(value, expected, strict=True)):
            check_like(f"{path}[{index}]", one, item)
    elif isinstance(expected, bool):
        check_type(path, value, bool)
    elif isinstance(expected, int | float):
        check_type(path, value, float)
        if value != value or (isinstance(value, int) and isinstance(expected, int) and value < 0 <= expected):
            raise InputError(f"{path} must be at least 0, not {shorten(value)}")
    elif isinstance(expected, str):
        check_type(path, value, str)
    else:
        check_type(path, value, bool | int | float | str | Tensor | None)
