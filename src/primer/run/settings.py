"""Settings that a model cannot honor are refused before the run, not dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.models.base.optimization import Optimization

CLIPPING = ("gradient_clip_val", "gradient_clip_algorithm")
OWNED_BY_MODEL = (*CLIPPING, "accumulate_grad_batches")
"""Settings of the trainer that a model with several optimizers carries out itself."""


def check_settings(config: dict[str, Any], model: Model, typed: Sequence[str]) -> None:
    """Refuses what would have no effect on this kind of model.

    Args:
        config: the resolved config.
        model: the model.
        typed: the overrides of the command line: a default that has no effect is no mistake.

    Raises:
        InputError: for the first setting that would have no effect.
    """
    kind, name = type(model), type(model).__name__
    if kind.train_dataloader is not Model.train_dataloader:
        raise InputError(
            f"{name}.train_dataloader would never be called: data comes from data=…; for an environment, subclass "
            "primer.data.environment.Environment"
        )
    for setting, reason in _without_effect(config, model, [text.lstrip("+~") for text in typed]):
        raise InputError(f"{setting} has no effect on {name}, which {reason}: leave it out")


def is_managed(model: Model) -> bool:
    """Whether a model has several optimizers whose steps the base takes."""
    return model.has_optimizer_groups() and not model.automatic_optimization


def _without_effect(config: dict[str, Any], model: Model, typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    if isinstance(model, SinglePass):
        reason = "is fitted in a single pass, without gradients"
        yield from ((text, reason) for text in typed if text.startswith(("optimizer", "scheduler", "transfer")))
        yield from ((text, reason) for text in typed if text.startswith(("trainer.max_epochs", "trainer.max_steps")))
        yield from ((place, reason) for place in _gradient_settings(config))
        return
    if type(model).configure_optimizers is not Optimization.configure_optimizers:
        reason = "makes its own optimizers in configure_optimizers"
        yield from ((text, reason) for text in typed if text.startswith(("optimizer", "scheduler")))
        yield from ((place, reason) for place in _penalties(config))
        if _has_schedule(config):
            yield "scheduler", reason
    if not model.automatic_optimization and not is_managed(model):
        reason = "takes the steps of its optimizers itself, and not through self.optimize"
        if _has_schedule(config):
            yield "scheduler", reason
        yield from ((place, reason) for place in _penalties(config) if place != "regularization.l2")
        yield from ((place, reason) for place in _trainer_settings(config))


def _gradient_settings(config: dict[str, Any]) -> Iterator[str]:
    if _has_schedule(config):
        yield "scheduler"
    yield from _penalties(config)
    if config["regularization"]["ema"] is not None:
        yield "regularization.ema"
    if config["regularization"]["early_stopping"]["patience"] is not None:
        yield "regularization.early_stopping"
    yield from _trainer_settings(config)


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
