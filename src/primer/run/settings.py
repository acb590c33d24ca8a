"""Rejects settings that a model cannot apply before the run starts, instead of ignoring them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from primer.data.base import DataModule
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import GradientFree, Model, SinglePass
from primer.models.base.optimization import Optimization

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
OWNED_BY_MODEL = (*CLIPPING, "accumulate_grad_batches")
"""Trainer settings that a model with several optimizers applies itself."""


def check_settings(config: dict[str, Any], model: Model, typed: Sequence[str]) -> None:
    """Rejects settings that would have no effect on the model.

    Args:
        config: resolved config of the run.
        model: the model.
        typed: command-line overrides. A default without effect is not an error.

    Raises:
        InputError: for the first setting without effect.
    """
    kind, name = type(model), type(model).__name__
    if kind.train_dataloader is not Model.train_dataloader:
        raise InputError(
            f"{name}.train_dataloader would never be called: data comes from data=…; for reinforcement learning, "
            "subclass primer.data.environment.Environment"
        )
    for setting, reason in _without_effect(config, model, [text.lstrip("+~") for text in typed]):
        raise InputError(f"{setting} has no effect on {name}, which {reason}: leave it out")


def check_batches(config: dict[str, Any], datamodule: DataSource) -> None:
    """Raises ``InputError`` if a fraction of the batches of an epoch is none, or if validation would take place after
    more batches than an epoch has."""
    settings = config["trainer"]
    for stage in ("train", "val", "test") if config["test"] else ("train", "val"):
        limit = settings[f"limit_{stage}_batches"]
        if type(limit) is not float or not limit or not isinstance(datamodule, DataModule):
            continue
        batches = count_batches(datamodule, stage)
        if batches and int(limit * batches) == 0:
            raise InputError(
                f"trainer.limit_{stage}_batches={limit}: no batch out of {batches} would be left; an "
                "integer is a number of batches"
            )
    interval, limit, batches = settings["val_check_interval"], settings["limit_train_batches"], None
    if type(interval) is int and settings["check_val_every_n_epoch"] is not None:
        batches = count_batches(datamodule, "train")
    if batches is not None and limit is not None:
        batches = min(batches, limit) if type(limit) is int else int(batches * limit)
    if batches is not None and interval > batches:
        raise InputError(
            f"trainer.val_check_interval={interval}: an epoch has only {batches} batches; to validate once in several "
            "epochs, set trainer.check_val_every_n_epoch"
        )


def count_batches(datamodule: DataSource, stage: str) -> int | None:
    """Returns the number of batches of an epoch; None if there is no end, as in an environment."""
    try:
        return len(getattr(datamodule, f"{stage}_dataloader")())
    except TypeError:
        return None


def is_managed(model: Model) -> bool:
    """Returns whether a model has several optimizers that it steps through ``optimize``."""
    return model.has_optimizer_groups() and not model.automatic_optimization


def _without_effect(config: dict[str, Any], model: Model, typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from _regularization(config, model, typed)
    if isinstance(model, GradientFree):
        single = isinstance(model, SinglePass)
        reason = "is fitted in a single pass, without gradients" if single else "learns without gradients"
        yield from ((text, reason) for text in typed if text.startswith(("optimizer", "scheduler", "transfer")))
        lengths = ("trainer.max_epochs", "trainer.max_steps") if single else ()
        yield from ((text, reason) for text in typed if text.startswith(lengths))
        yield from ((path, reason) for path in _gradient_settings(config, single))
        yield from ((path, reason) for path in _loss_settings(config, model))
        if config["weights"] is not None:
            yield "weights", reason
        if single and config["trainer"]["num_sanity_val_steps"]:
            yield "trainer.num_sanity_val_steps", reason
        return
    if type(model).configure_optimizers is not Optimization.configure_optimizers:
        reason = "builds its own optimizers in configure_optimizers"
        yield from ((text, reason) for text in typed if text.startswith(("optimizer", "scheduler", "transfer.lowest")))
        yield from ((path, reason) for path in _penalties(config))
        if _has_schedule(config):
            yield "scheduler", reason
    if not model.automatic_optimization and not is_managed(model):
        reason = "steps its optimizers manually, and not through self.optimize"
        if _has_schedule(config):
            yield "scheduler", reason
        yield from ((path, reason) for path in _penalties(config) if path != "regularization.l2")
        yield from ((path, reason) for path in _trainer_settings(config))


def _regularization(config: dict[str, Any], model: Model, typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields regularization that was typed and reaches neither the model nor the objective. In a preset, such as
    ``regularization=strong``, it is not an error."""
    for name in ("dropout", "stochastic_depth", "label_smoothing"):
        setting = f"regularization.{name}"
        used = name in (config["objective"] if name == "label_smoothing" else config["model"])
        used &= not (name == "label_smoothing" and "label_smoothing" not in model.objective.settings())
        if not used and config["regularization"][name] and any(text.startswith(f"{setting}=") for text in typed):
            yield setting, f"does not have it, and neither does its objective {type(model.objective).__name__}"


def _gradient_settings(config: dict[str, Any], single: bool) -> Iterator[str]:
    if _has_schedule(config):
        yield "scheduler"
    yield from _penalties(config)
    if config["regularization"]["ema"] is not None:
        yield "regularization.ema"
    if single and config["regularization"]["early_stopping"]["patience"] is not None:
        yield "regularization.early_stopping"
    yield from _trainer_settings(config)


def _loss_settings(config: dict[str, Any], model: Model) -> Iterator[str]:
    """Yields settings of the loss and of the batches of a training step, which do not change what is fitted."""
    if config["objective"].get("class_weights"):
        yield "objective.class_weights"
    if config["regularization"]["label_smoothing"]:
        yield "regularization.label_smoothing"
    if any(config["regularization"]["augmentation"].values()) and model.views == 1:
        yield "regularization/augmentation"


def _has_schedule(config: dict[str, Any]) -> bool:
    return "_target_" in config["scheduler"] or bool(config["scheduler"].get("warmup"))


def _penalties(config: dict[str, Any]) -> Iterator[str]:
    for name in ("l1", "l2"):
        if config["regularization"][name]:
            yield f"regularization.{name}"


def _trainer_settings(config: dict[str, Any]) -> Iterator[str]:
    for name in CLIPPING:
        if config["trainer"][name]:
            yield f"trainer.{name}"
    if config["trainer"]["accumulate_grad_batches"] != 1:
        yield "trainer.accumulate_grad_batches"
