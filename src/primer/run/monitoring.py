"""The metrics that a run watches: for its best checkpoint, early stopping and plateaus of the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any, Literal, NamedTuple

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau

from primer.config.instantiate import import_target
from primer.data.source import DataSource
from primer.errors import InputError, suggest
from primer.models.base import Model
from primer.objectives.tagging import unknown_words
from primer.records.console import say

Mode = Literal["min", "max"]

WATCHERS = (ModelCheckpoint, EarlyStopping, ReduceLROnPlateau)
"""What has a ``mode`` beside its ``monitor``."""

OWN_STEPS = ("training_step", "validation_step", "test_step", "on_validation_epoch_end", "on_train_epoch_end")
"""Hooks that a model overrides to log whatever it wants."""


class Goal(NamedTuple):
    """What decides which checkpoint is the best.

    Attributes:
        monitor: the name of the metric; None if the latest checkpoint is the best.
        mode: whether less or more of it is better.
        chosen: whether the config names it; otherwise it is the model's own choice.
    """

    monitor: str | None
    mode: Mode | None
    chosen: bool


def find_goal(config: dict[str, Any], model: Model, datamodule: DataSource) -> Goal:
    """The goal of a run: that of the config, else that of the model. The training loss stands in for a metric of the
    validation if nothing is validated.

    Raises:
        InputError: if ``mode`` contradicts the metric.
    """
    chosen, name = config["monitor"] is not None, config["monitor"] or model.monitor
    if name is None:
        return Goal(None, None, chosen)
    settings = watch({"monitor": name, "mode": config["mode"]}, "", Goal(name, None, chosen), model, datamodule, config)
    return Goal(settings["monitor"], settings["mode"], chosen)


def watch(
    settings: dict[str, Any],
    place: str,
    goal: Goal,
    model: Model,
    datamodule: DataSource,
    config: dict[str, Any],
) -> dict[str, Any]:
    """The settings of a callback or a scheduler, with what they watch: the goal of the run if they name nothing, and
    the direction in which that metric improves.

    Args:
        settings: of the node; those without ``monitor`` are returned as they are.
        place: where the config has them, for messages.
        goal: of the run.
        model, datamodule, config: of the run.

    Raises:
        InputError: if ``mode`` contradicts the metric, or is missing and not known.
    """
    if "monitor" not in settings:
        return settings
    name, mode = settings["monitor"] or goal.monitor, settings.get("mode")
    if name is None:
        return {key: value for key, value in settings.items() if key not in ("monitor", "mode")}
    if str(name).startswith("val/") and not validates(config, datamodule):
        name, mode = "train/loss", None
    settings = settings | {"monitor": name}
    if "mode" not in settings and not _has_mode(settings):
        return settings
    known = goal.mode if name == goal.monitor and goal.mode else direction(name, model)
    where = f"{place}.".lstrip(".")
    if mode and known and mode != known:
        better = "less" if known == "min" else "more"
        raise InputError(
            f"{where}mode={mode} contradicts {where}monitor={name}, of which {better} is better: leave it out"
        )
    if not (mode or known):
        raise InputError(f"{where}monitor={name}: set {where}mode to min or max, since the metric does not say")
    return settings | {"mode": mode or known}


def direction(name: str, model: Model) -> Mode | None:
    """Whether less or more of a metric is better; None if it is not known."""
    stage, _, metric = name.partition("/")
    if metric == "loss" or name == "lr":
        return "min"
    if name == model.monitor and model.mode:
        return model.mode
    higher = model.objective.directions().get(metric) if stage in ("val", "test") else None
    return None if higher is None else "max" if higher else "min"


def validates(config: dict[str, Any], datamodule: DataSource) -> bool:
    """Whether anything is validated."""
    return bool(datamodule.sizes().get("val")) and config["trainer"]["limit_val_batches"] != 0


def check_monitors(config: dict[str, Any], model: Model, datamodule: DataSource) -> None:
    """Raises ``InputError`` if the config names a metric that the run does not log."""
    known = ["train/loss", "lr", "val/loss", *(f"val/{name}" for name in model.objective.scalar_names())]
    known += [*model.logged_metrics, *([model.monitor] if model.monitor else [])]
    nodes = [node for node in config["callbacks"].values() if isinstance(node, dict) and "_target_" in node]
    patterns = [*known, *(pattern for node in nodes for pattern in _logged_by(import_target(node["_target_"])))]
    if any(getattr(type(model), hook) is not getattr(Model, hook) for hook in OWN_STEPS):
        patterns.append("*")
    for place, name in monitors(config):
        if not any(fnmatch(name, pattern) for pattern in patterns):
            raise InputError(f"{place}={name}: this run does not log that metric; {suggest(name, known)}")
        if name == "val/accuracy_unknown" and validates(config, datamodule) and not _has_unknown_words(datamodule):
            raise InputError(f"{place}={name}: every word of the validation part occurs in the training part")


def monitors(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The metrics that a config names, and where."""
    nodes = {f"callbacks.{name}": node for name, node in config["callbacks"].items()}
    for place, node in {"": config, "scheduler": config["scheduler"], **nodes}.items():
        if isinstance(node, dict) and isinstance(node.get("monitor"), str):
            yield f"{place}.monitor".lstrip("."), node["monitor"]


class Monitors(L.Callback):
    """Checks, after the first validation, that the metrics were logged which other callbacks watch.

    If it is the model's own choice that is missing, the latest checkpoint counts as the best, and a line says so.

    Args:
        goal: of the run.
        validates: whether anything is validated.

    Raises:
        InputError: if a metric that the config names is missing, or one that early stopping waits for.
    """

    def __init__(self, goal: Goal, validates: bool) -> None:
        self.goal, self.validates = goal, validates
        self._done = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check(trainer, "val/")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (
            not self.validates and trainer.is_last_batch
        ):  # Of an epoch that is cut short, the model logs the loss later.
            self._check(trainer, "train/")

    def _check(self, trainer: L.Trainer, prefix: str) -> None:
        if self._done:
            return
        self._done = True
        logged = [name for name in trainer.callback_metrics if name.startswith(prefix)]
        listed = ", ".join(logged) or f"nothing that starts with {prefix}"
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            name = getattr(callback, "monitor", None)
            if not isinstance(name, str) or not name.startswith(prefix) or name in logged:
                continue
            if self.goal.chosen or name != self.goal.monitor or isinstance(callback, EarlyStopping):
                raise InputError(f"monitor={name}: the model does not log that metric; it logs {listed}")
            assert isinstance(callback, ModelCheckpoint)
            callback.monitor = None
            say(f"note: {type(trainer.lightning_module).__name__} does not log {name}, so the best checkpoint is the "
                f"latest; it logs {listed}")  # fmt: skip


def _has_unknown_words(datamodule: DataSource) -> bool:
    return any(unknown_words(batch.inputs).any() for batch in datamodule.val_dataloader())


def _has_mode(settings: dict[str, Any]) -> bool:
    target = settings.get("_target_")
    kind = import_target(target) if isinstance(target, str) else None
    return isinstance(kind, type) and issubclass(kind, WATCHERS)


def _logged_by(callback: type) -> tuple[str, ...]:
    """What a class of callbacks logs: what it says, and anything if it is the user's own and does not say."""
    own = callback.__module__.split(".")[0] not in ("primer", "lightning")
    return getattr(callback, "logged_metrics", ("*",) if own else ())
