"""Metrics that a run monitors: for its best checkpoint, early stopping and plateau schedules."""

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
from primer.models.base.optimization import is_training_metric
from primer.objectives.tagging import unknown_words
from primer.records.console import say

Mode = Literal["min", "max"]

CLASSES_WITH_MODE = (ModelCheckpoint, EarlyStopping, ReduceLROnPlateau)
"""Classes that have a ``mode`` argument in addition to ``monitor``."""

LOGGING_HOOKS = (
    "step", "training_step", "validation_step", "test_step", "on_train_batch_end", "on_train_epoch_end",
    "on_validation_epoch_start", "on_validation_batch_end", "on_validation_epoch_end",
)  # fmt: skip
"""Methods that a model may override to log any metric."""


RUN_METRICS = ("epochs", "steps", "fit_seconds")
"""The metrics of a run besides those that are logged."""


class Goal(NamedTuple):
    """The metric that selects the best checkpoint.

    Attributes:
        monitor: name of the metric; None if the latest checkpoint is the best.
        mode: whether a lower or a higher value is better.
        chosen: whether the config names the metric; otherwise, it is the model's default.
    """

    monitor: str | None
    mode: Mode | None
    chosen: bool


def find_goal(config: dict[str, Any], model: Model, datamodule: DataSource) -> Goal:
    """Returns the goal of a run: that of the config, else that of the model. The training loss replaces a validation
    metric if there is no validation.

    Raises:
        InputError: if ``mode`` contradicts the metric.
    """
    chosen, name = config["monitor"] is not None, config["monitor"] or model.monitor
    if name is None:
        return Goal(None, None, chosen)
    node, goal = {"monitor": name, "mode": config["mode"]}, Goal(name, None, chosen)
    settings = resolve_monitor(node, "", goal, model, datamodule, config)
    return Goal(settings["monitor"], settings["mode"], chosen)


def resolve_monitor(
    settings: dict[str, Any],
    path: str,
    goal: Goal,
    model: Model,
    datamodule: DataSource,
    config: dict[str, Any],
) -> dict[str, Any]:
    """Fills in ``monitor`` and ``mode`` in the settings of a callback or a scheduler: the goal of the run if they do
    not name a metric, and the direction in which the metric improves.

    Args:
        settings: settings of the node; returned unchanged if they do not have ``monitor``.
        path: path of the node in the config, for messages.
        goal: goal of the run.
        model, datamodule, config: of the run.

    Raises:
        InputError: if ``mode`` contradicts the metric, or is missing and unknown.
    """
    if "monitor" not in settings:
        return settings
    name, mode = settings["monitor"] or goal.monitor, settings.get("mode")
    if name is None:
        if _has_mode(settings) and path == "scheduler":
            raise InputError(f"{path} needs a metric, and {type(model).__name__} does not name one: set {path}.monitor")
        return {key: value for key, value in settings.items() if key not in ("monitor", "mode")}
    if str(name).startswith("val/") and not has_validation(config, datamodule):
        name, mode = "train/loss", None
    settings = settings | {"monitor": name}
    if "mode" not in settings and not _has_mode(settings):
        return settings
    known = goal.mode if name == goal.monitor and goal.mode else metric_mode(name, model)
    prefix = f"{path}.".lstrip(".")
    if mode and known and mode != known:
        better = "lower" if known == "min" else "higher"
        raise InputError(
            f"{prefix}mode={mode} contradicts {prefix}monitor={name}, for which {better} is better: leave it out"
        )
    if not (mode or known):
        raise InputError(
            f"{prefix}monitor={name}: set {prefix}mode to min or max, since the direction of the metric is unknown"
        )
    return settings | {"mode": mode or known}


def metric_mode(name: str, model: Model) -> Mode | None:
    """Returns whether a lower or a higher value of a metric is better; None if unknown."""
    stage, _, metric = name.partition("/")
    if metric == "loss" or name == "lr":
        return "min"
    if name == model.monitor and model.mode:
        return model.mode
    higher = model.objective.directions().get(metric) if stage in ("val", "test") else None
    return None if higher is None else "max" if higher else "min"


def _overridden_by_a_user(kind: type[Model], hook: str) -> bool:
    """Returns whether a class that is not one of Primer's own, which list their metrics, overrides a method."""
    owner = next(owner for owner in kind.__mro__ if hook in vars(owner))
    return owner not in Model.__mro__ and not owner.__module__.startswith("primer.models.")


def has_validation(config: dict[str, Any], datamodule: DataSource) -> bool:
    """Returns whether the run has any validation."""
    return bool(datamodule.sizes().get("val")) and config["trainer"]["limit_val_batches"] != 0


def check_monitors(config: dict[str, Any], model: Model, datamodule: DataSource) -> None:
    """Raises ``InputError`` if the config names a metric that the run does not log."""
    known = [*model.logged_losses, "lr", *(f"val/{name}" for name in model.objective.scalar_names())]
    known += [*model.logged_metrics, *([model.monitor] if model.monitor else [])]
    known = list(dict.fromkeys(known))
    nodes = [node for node in config["callbacks"].values() if isinstance(node, dict) and "_target_" in node]
    patterns = [*known, *(pattern for node in nodes for pattern in _logged_by(import_target(node["_target_"])))]
    if any(_overridden_by_a_user(type(model), hook) for hook in LOGGING_HOOKS):
        patterns.append("*")
    for path, name in configured_monitors(config):
        if not any(fnmatch(name, pattern) for pattern in patterns):
            raise InputError(f"{path}={name}: this run does not log that metric; {suggest(name, known)}")
        if name == "val/accuracy_unknown" and has_validation(config, datamodule) and not _has_unknown_words(datamodule):
            raise InputError(f"{path}={name}: every word of the validation part occurs in the training part")
    patterns += ["test/*", *RUN_METRICS]
    configured = config.get("optimized_metric") or []
    for name in configured if isinstance(configured, list) else [configured]:
        optimized = name.removeprefix("best/")
        if not any(fnmatch(optimized, pattern) for pattern in patterns):
            raise InputError(
                f"optimized_metric={optimized}: this run does not log that metric; {suggest(optimized, known)}"
            )


def configured_monitors(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the path and the name of each monitored metric in a config."""
    nodes = {f"callbacks.{name}": node for name, node in config["callbacks"].items()}
    for path, node in {"": config, "scheduler": config["scheduler"], **nodes}.items():
        if isinstance(node, dict) and isinstance(node.get("monitor"), str):
            yield f"{path}.monitor".lstrip("."), node["monitor"]


class MonitorCheck(L.Callback):
    """Checks, after the first validation, that the metrics that other callbacks monitor have been logged.

    If the model's default metric was not logged, the latest checkpoint is used as the best, and a note is printed.

    Args:
        goal: goal of the run.
        has_validation: whether the run has any validation.

    Raises:
        InputError: if a metric that the config names, or that early stopping monitors, was not logged.
    """

    def __init__(self, goal: Goal, has_validation: bool) -> None:
        self.goal, self.has_validation = goal, has_validation
        self._done = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check(trainer, training=False)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # If the run ends within an epoch, the model logs the loss only later.
        if not self.has_validation and trainer.is_last_batch:
            self._check(trainer, training=True)

    def _check(self, trainer: L.Trainer, training: bool) -> None:
        if self._done:
            return
        self._done = True
        logged = [name for name in trainer.callback_metrics if is_training_metric(name) == training]
        listed = ", ".join(logged) or "no metric"
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            name = getattr(callback, "monitor", None)
            if not isinstance(name, str) or is_training_metric(name) != training or name in logged:
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
    return isinstance(kind, type) and issubclass(kind, CLASSES_WITH_MODE)


def _logged_by(callback: type) -> tuple[str, ...]:
    """Returns patterns of the metrics that a class of callbacks logs: its ``logged_metrics``; without them, a custom
    callback may log anything."""
    custom = callback.__module__.split(".")[0] not in ("primer", "lightning")
    return getattr(callback, "logged_metrics", ("*",) if custom else ())
