"""Builds the parts of a run from its config: data, model, callbacks, loggers and trainer."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from primer.callbacks import EMA
from primer.checkpoints import embeddings, weights
from primer.checkpoints.resume import Resume
from primer.config.instantiate import instantiate, instantiate_partial, locate
from primer.config.secrets import redact_strings
from primer.data.base import DataModule
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model
from primer.models.base.optimization import is_training_metric
from primer.models.base.overhead import NoProfiler, remove_empty_hooks
from primer.models.base.trainer_internals import keep_signal_handlers
from primer.objectives import Objective
from primer.optim import Schedule
from primer.records.console import is_main_process
from primer.regularization import Regularization
from primer.run.monitoring import Goal, MonitorCheck, check_monitors, find_goal, has_validation, resolve_monitor
from primer.run.processes import observe_processes
from primer.run.settings import OWNED_BY_MODEL, check_batches, check_settings, is_managed
from primer.spec import NoTarget, Spec, Tokens


class Parts(NamedTuple):
    """The parts of a run that do not depend on its trainer.

    Attributes:
        datamodule, model, callbacks, goal: of the run.
        pretrained: the weights that it starts from, if any.
        vectors: the word embeddings that it starts from, if any.
    """

    datamodule: DataSource
    model: Model
    callbacks: list[L.Callback]
    goal: Goal
    pretrained: weights.Weights | None
    vectors: embeddings.Embeddings | None


def build_parts(
    config: dict[str, Any],
    typed: Sequence[str],
    datamodule: DataSource | None = None,
    resumed: Mapping[str, Any] | None = None,
) -> Parts:
    """Builds the parts of a run, and checks that all of its settings have an effect.

    Args:
        config: resolved config of the run.
        typed: command-line overrides.
        datamodule: the data if it has been built already.
        resumed: the content of the checkpoint that the run is resumed from, if any.

    Raises:
        InputError: if a part cannot be built, or a setting has no effect.
    """
    regularization = instantiate(config["regularization"], Regularization)
    embeddings.check_embedding_settings(config)
    pretrained = load_pretrained(config)
    vectors = None if resumed else load_embeddings(config)
    datamodule = datamodule or build_data(
        config, regularization, find_vocabulary(config, pretrained, vectors, resumed or {})
    )
    choose_input(config, datamodule)
    if pretrained:
        weights.set_image_format(datamodule, pretrained, config["transfer"]["image_size"])
        config["model"] = weights.with_stem(config["model"], pretrained)
    model = build_model(config, datamodule, regularization)
    goal = find_goal(config, model, datamodule)
    callbacks = build_callbacks(config, model, datamodule, regularization)
    check_settings(config, model, typed)
    check_batches(config, datamodule)
    return Parts(datamodule, model, callbacks, goal, pretrained, vectors)


def seed_everything(seed: int | None) -> int:
    """Seeds Python, NumPy and PyTorch, and returns the seed. 0 is a seed; None draws one."""
    if seed is None:
        drawn = random.SystemRandom().randrange(2**31)
        seed = drawn if is_main_process() else int(os.environ["PL_GLOBAL_SEED"])  # The same in all processes.
    return L.seed_everything(seed, workers=True, verbose=False)


def build_data(
    config: dict[str, Any], regularization: Regularization | None = None, known: Tokens | None = None
) -> DataSource:
    """Builds the data of a config, and reads and splits it. ``known`` is the vocabulary of pretrained weights."""
    steps = list(regularization.augmentation.values()) if regularization else []
    data = instantiate(config["data"], DataSource, augmentation=steps)
    if known is not None and isinstance(data, DataModule):
        data.adopt_vocabulary(known)
    return data.prepare()


def build_model(config: dict[str, Any], datamodule: DataSource, regularization: Regularization) -> Model:
    """Builds the model of a config, with the objective, optimizer, schedule and penalties of the run."""
    kind = choose_input(config, datamodule)
    kind.check_spec(datamodule.spec)
    target = NoTarget() if kind.targets is NoTarget else datamodule.spec.target
    objective = instantiate(config["objective"], Objective, target=target)
    if config["objective"].get("threshold") == "auto" and not has_validation(config, datamodule):
        raise InputError("objective.threshold=auto needs a validation part: set data.val_fraction")
    settings = {key: value for key, value in config["model"].items() if key not in embeddings.SETTINGS}
    model = instantiate(settings, Model, spec=datamodule.spec, objective=objective)
    if config["model"].get("freeze_embeddings"):
        model.freeze_embeddings()
    node_target(config, "optimizer")
    model.optimizer = instantiate_partial(config["optimizer"], Optimizer)
    check_monitors(config, model, datamodule)
    goal = find_goal(config, model, datamodule)
    model.schedule = build_schedule(resolve_monitor(config["scheduler"], "scheduler", goal, model, datamodule, config))
    model.l1, model.l2 = regularization.l1, regularization.l2
    model.config = redact_strings(config)
    if is_managed(model):  # Lightning rejects these for models with several optimizers, so the model applies them.
        for name in OWNED_BY_MODEL:
            setattr(model, name, config["trainer"][name])
    if config["trainer"]["channels_last"]:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if config["trainer"]["compile"]:
        model.compile()
    return model


def choose_input(config: dict[str, Any], datamodule: DataSource) -> type[Model]:
    """Makes data with several types of inputs choose one that the model accepts. Returns the class of the model."""
    kind = locate(node_target(config, "model"), Model)
    if isinstance(datamodule, DataModule):
        datamodule.choose_input(getattr(kind, "inputs", ()))
    return kind


def load_pretrained(config: dict[str, Any]) -> weights.Weights | None:
    """Reads the pretrained weights that a config names."""
    if config["weights"] is None:
        return None
    settings = {key: value for key, value in config["model"].items() if key != "_target_"}
    kind = locate(config["model"]["_target_"], Model)
    return weights.read_weights(config["weights"], kind, settings, config["paths"]["data_dir"])


def load_embeddings(config: dict[str, Any]) -> embeddings.Embeddings | None:
    """Reads the word embeddings that a config names."""
    source = config["model"].get("embeddings")
    return None if source is None else embeddings.read_embeddings(source)


def find_vocabulary(
    config: dict[str, Any],
    trained: weights.Weights | None,
    vectors: embeddings.Embeddings | None,
    resumed: Mapping[str, Any],
) -> Tokens | None:
    """Returns the vocabulary that the data of a run adopts from pretrained weights or vectors, or, if it is resumed,
    had adopted; None if it uses its own."""
    if resumed:
        return embeddings.adopted_vocabulary(config, Spec.from_dict(resumed["primer"]["spec"]))
    if vectors is not None:
        return vectors.tokens
    return trained.input if trained and isinstance(trained.input, Tokens) else None


def build_schedule(settings: dict[str, Any]) -> Schedule:
    """Builds a schedule from one node with its interval, monitor and warmup, and the settings of its scheduler."""
    ours = {key: settings[key] for key in ("interval", "monitor", "warmup") if settings.get(key) is not None}
    theirs = {key: value for key, value in settings.items() if key not in ("interval", "monitor", "warmup")}
    if theirs.get("mode", "") is None:
        del theirs["mode"]
    if "_target_" in theirs:
        return Schedule(instantiate_partial(theirs, LRScheduler), **ours)
    return Schedule(None, **ours)


def node_target(config: dict[str, Any], group: str) -> str:
    """Returns the class that a group names.

    Raises:
        InputError: if it does not name a class.
    """
    target = (config.get(group) or {}).get("_target_")
    if not isinstance(target, str):
        raise InputError(f"{group} has no _target_: its file must name the class, as _target_: package.module.Class")
    return target


def build_loggers(config: dict[str, Any], resumed_step: int | None = None) -> list[Logger]:
    """Builds the loggers of a config. Weights & Biases and MLflow receive the config itself.

    Args:
        config: resolved config.
        resumed_step: the optimizer step that the run is resumed from; None for a new run.
    """
    recorded = redact_strings(config)
    extra = {
        "primer.records.wandb.WandB": {"config": recorded},
        "primer.records.mlflow.MLflow": {"config": recorded},
        "primer.records.loggers.tensorboard": {"purge_step": resumed_step},
    }
    return [instantiate(node, Logger, **extra.get(node["_target_"], {})) for node in config["logger"].values()]


def build_callbacks(
    config: dict[str, Any], model: Model, datamodule: DataSource, regularization: Regularization
) -> list[L.Callback]:
    """Builds the callbacks of a config, and those for early stopping, weight averaging and resuming."""
    goal = find_goal(config, model, datamodule)
    callbacks: list[L.Callback] = [MonitorCheck(goal, has_validation(config, datamodule)), Resume()]
    for name, node in config["callbacks"].items():
        if node is not None:  # Null removes a callback.
            settings = resolve_monitor(node, f"callbacks.{name}", goal, model, datamodule, config)
            callback = instantiate(settings, L.Callback)
            if isinstance(callback, ModelCheckpoint) and is_training_metric(str(callback.monitor)):
                callback._save_on_train_epoch_end = True  # A validation within an epoch does not log it.
            callbacks.append(callback)
    stop = regularization.early_stopping
    if stop.patience is not None:
        if goal.monitor is None:
            raise InputError("regularization.early_stopping requires a metric: set monitor")
        at_end = True if is_training_metric(goal.monitor) else None
        settings = {"mode": goal.mode or "min", "strict": False, "check_on_train_epoch_end": at_end}
        callbacks.append(EarlyStopping(goal.monitor, stop.min_delta, stop.patience, **settings))
    if regularization.ema is not None:
        callbacks.append(EMA(regularization.ema))
    return callbacks


def build_trainer(
    config: dict[str, Any], model: Model, callbacks: list[L.Callback], loggers: list[Logger]
) -> L.Trainer:
    """Builds Lightning's trainer. The ``trainer`` group sets the length of the run, ``accelerator`` the device."""
    ours = ("compile", "channels_last", *(OWNED_BY_MODEL if is_managed(model) else ()))
    settings = {key: value for key, value in config["trainer"].items() if key not in ours}
    profiler = {"profiler": NoProfiler()} if settings.get("profiler") is None else {}
    settings = {key: value for key, value in settings.items() if key not in profiler}
    trainer = instantiate(
        settings | config["accelerator"] | {"precision": settings["precision"]},
        L.Trainer,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=config["paths"]["output_dir"],
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
        **profiler,
    )
    remove_empty_hooks(trainer)
    keep_signal_handlers(trainer)
    observe_processes(trainer, Path(config["paths"]["output_dir"]))
    return trainer
