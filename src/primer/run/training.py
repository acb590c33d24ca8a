"""Trains a model, from its config to its metrics."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from primer.callbacks import EMA
from primer.checkpoints import reading, weights
from primer.checkpoints.resume import Resume
from primer.checkpoints.resuming import check_resuming
from primer.checkpoints.transfer import Transfer
from primer.config.instantiate import instantiate, locate
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.models.base.overhead import NoProfiler
from primer.objectives import Objective
from primer.objectives.classification import report
from primer.optim import Schedule
from primer.records import run_folder
from primer.records.console import is_main_process, show_table
from primer.regularization import Regularization
from primer.run.accelerators import check_accelerator, check_compiler
from primer.run.monitoring import Goal, MonitorCheck, check_monitors, find_goal, has_validation, resolve_monitor
from primer.run.settings import OWNED_BY_MODEL, check_settings, is_managed
from primer.spec import NoTarget


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains a model, tests its best checkpoint, and saves everything in the run folder.

    Args:
        cfg: composed config of ``configs/train.yaml``, without Hydra's own node.

    Returns:
        The metrics: those of the last epoch (``train/loss``, ``val/…``), those of the best checkpoint (``best/epoch``,
        ``best/val/…``, ``test/…``), ``optimized``, which is reported to a sweep, and ``epochs``, ``steps``,
        ``fit_seconds``.

    Raises:
        InputError: if the config is invalid.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    folder = Path(config["paths"]["output_dir"])
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    if config["trainer"]["compile"]:
        check_compiler(config["accelerator"])
    resume = reading.find_checkpoint(config["resume"], ("last", "best")) if config["resume"] else None
    config["seed"] = seed_everything(config["seed"])

    regularization = instantiate(config["regularization"], Regularization)
    trained = read_weights(config)
    datamodule = build_data(config, regularization)
    if trained:
        weights.set_image_format(datamodule, trained, config["transfer"]["image_size"])
        config["model"] = weights.with_stem(config["model"], trained)
    model = build_model(config, datamodule, regularization)
    goal = find_goal(config, model, datamodule)
    callbacks = build_callbacks(config, model, datamodule, regularization)
    check_settings(config, model, overrides())
    if resume:
        check_resuming(resume, model)
    if trained:
        weights.copy_into(model, trained)
        callbacks += instantiate(config["transfer"], Transfer).apply(model)
    config |= {"monitor": goal.monitor, "mode": goal.mode}
    loggers = build_loggers(config)
    trainer = build_trainer(config, model, callbacks, loggers)

    if is_main_process():
        run_folder.write_provenance(folder, config, overrides())
    show_table("primer", run_summary(config, model, datamodule, trainer, trained))
    started = time.perf_counter()
    trainer.fit(model, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    check_trained(trainer, model)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    metrics |= {"epochs": trainer.current_epoch, "steps": trainer.global_step}
    metrics["fit_seconds"] = round(time.perf_counter() - started, 3)
    metrics |= best_metrics(trainer)

    if config["test"]:
        metrics |= test(trainer, model, datamodule, folder)
    metrics |= optimized_metric(config["optimized_metric"], goal, metrics)
    if trainer.is_global_zero:
        run_folder.write_metrics(folder, metrics)
        show_results(metrics)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    return metrics


def seed_everything(seed: int | None) -> int:
    """Seeds Python, NumPy and PyTorch, and returns the seed. 0 is a seed; None draws one."""
    if seed is None:
        drawn = random.SystemRandom().randrange(2**31)
        seed = drawn if is_main_process() else int(os.environ["PL_GLOBAL_SEED"])  # The same in all processes.
    return L.seed_everything(seed, workers=True, verbose=False)


def build_data(config: dict[str, Any], regularization: Regularization | None = None) -> DataSource:
    """Builds the data of a config, and reads and splits it."""
    steps = list(regularization.augmentation.values()) if regularization else []
    return instantiate(config["data"], DataSource, augmentation=steps).prepare()


def build_model(config: dict[str, Any], datamodule: DataSource, regularization: Regularization) -> Model:
    """Builds the model of a config, with the objective, optimizer, schedule and penalties of the run."""
    kind = locate(node_target(config, "model"), Model)
    kind.check_spec(datamodule.spec)
    target = NoTarget() if kind.targets is NoTarget else datamodule.spec.target
    objective = instantiate(config["objective"], Objective, target=target)
    model = instantiate(config["model"], Model, spec=datamodule.spec, objective=objective)
    node_target(config, "optimizer")
    model.optimizer = instantiate(config["optimizer"] | {"_partial_": True})
    check_monitors(config, model, datamodule)
    goal = find_goal(config, model, datamodule)
    model.schedule = build_schedule(resolve_monitor(config["scheduler"], "scheduler", goal, model, datamodule, config))
    model.l1, model.l2 = regularization.l1, regularization.l2
    model.config = config
    if is_managed(model):  # Lightning rejects these for models with several optimizers, so the model applies them.
        for name in OWNED_BY_MODEL:
            setattr(model, name, config["trainer"][name])
    if config["trainer"]["channels_last"]:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if config["trainer"]["compile"]:
        model.compile()
    return model


def read_weights(config: dict[str, Any]) -> weights.Weights | None:
    """Reads the pretrained weights that a config names."""
    if config["weights"] is None:
        return None
    settings = {key: value for key, value in config["model"].items() if key != "_target_"}
    kind = locate(config["model"]["_target_"], Model)
    return weights.read_weights(config["weights"], kind, settings, config["paths"]["data_dir"])


def build_schedule(settings: dict[str, Any]) -> Schedule:
    """Builds a schedule from one node with its interval, monitor and warmup, and the settings of its scheduler."""
    ours = {key: settings[key] for key in ("interval", "monitor", "warmup") if settings.get(key) is not None}
    theirs = {key: value for key, value in settings.items() if key not in ("interval", "monitor", "warmup")}
    if theirs.get("mode", "") is None:
        del theirs["mode"]
    if "_target_" in theirs:
        return Schedule(instantiate(theirs | {"_partial_": True}), **ours)
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


def build_loggers(config: dict[str, Any]) -> list[Logger]:
    """Builds the loggers of a config. Weights & Biases receives the config itself."""
    loggers = []
    for node in config["logger"].values():
        extra = {"config": config} if node["_target_"] == "primer.records.loggers.wandb" else {}
        loggers.append(instantiate(node, Logger, **extra))
    return loggers


def build_callbacks(
    config: dict[str, Any], model: Model, datamodule: DataSource, regularization: Regularization
) -> list[L.Callback]:
    """Builds the callbacks of a config, and those for early stopping, weight averaging and resuming."""
    goal = find_goal(config, model, datamodule)
    callbacks: list[L.Callback] = [MonitorCheck(goal, has_validation(config, datamodule)), Resume()]
    for name, node in config["callbacks"].items():
        if node is not None:  # Null removes a callback.
            settings = resolve_monitor(node, f"callbacks.{name}", goal, model, datamodule, config)
            callbacks.append(instantiate(settings, L.Callback))
    stop = regularization.early_stopping
    if stop.patience is not None:
        if goal.monitor is None:
            raise InputError("regularization.early_stopping requires a metric: set monitor")
        callbacks.append(
            EarlyStopping(goal.monitor, stop.min_delta, stop.patience, mode=goal.mode or "min", strict=False)
        )
    if regularization.ema is not None:
        callbacks.append(EMA(regularization.ema))
    return callbacks


def build_trainer(
    config: dict[str, Any], model: Model, callbacks: list[L.Callback], loggers: list[Logger]
) -> L.Trainer:
    """Builds Lightning's trainer. The ``trainer`` group sets the length of the run, ``accelerator`` the device."""
    ours = ("compile", "channels_last", *(OWNED_BY_MODEL if is_managed(model) else ()))
    settings = {key: value for key, value in config["trainer"].items() if key not in ours}
    return instantiate(
        settings | config["accelerator"] | {"precision": settings["precision"]},
        L.Trainer,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=config["paths"]["output_dir"],
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,
        profiler=settings["profiler"] or NoProfiler(),
    )


def check_trained(trainer: L.Trainer, model: Model) -> None:
    """Raises ``InputError`` if a run ended without any training step although it was supposed to train."""
    untrained = trainer.global_step == 0 and not isinstance(model, SinglePass)
    if untrained and trainer.max_epochs != 0 and trainer.max_steps != 0:
        raise InputError(
            f"{type(model).__name__} was not trained: there are no batches, or its training_step does not step an "
            "optimizer"
        )


def best_metrics(trainer: L.Trainer) -> dict[str, float]:
    """Returns the epoch of the best checkpoint and its validation metrics: ``best/epoch``, ``best/val/…``."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        return {}
    content = torch.load(best, map_location="cpu", weights_only=True, mmap=True)
    metrics = content["primer"]["metrics"]
    validation = {f"best/{name}": value for name, value in metrics.items() if name.startswith("val/")}
    return {"best/epoch": content["epoch"] + 1, **validation}


def optimized_metric(configured: str | None, goal: Goal, metrics: dict[str, float]) -> dict[str, float]:
    """Returns the metric that is reported to a sweep, as ``optimized``: the configured one, or the one that selects the
    best checkpoint. Validation metrics are those of the best epoch."""
    name = configured or goal.monitor
    if name is None:
        return {}
    if name.startswith("val/") and not any(metric.startswith("val/") for metric in metrics):
        name = "train/loss"  # There was no validation: the training loss replaces it, as for the best checkpoint.
    value = metrics.get(f"best/{name}", metrics.get(name))
    if value is None:
        print(f"optimized_metric={name} was not logged; available: {', '.join(metrics)}", file=sys.stderr)
        return {}
    return {"optimized": value}


def test(trainer: L.Trainer, model: Model, datamodule: DataSource, folder: Path) -> dict[str, float]:
    """Tests the best checkpoint, or the current model if none was saved, and writes a report on each class."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "") or None
    trainer.test(model, datamodule=datamodule, ckpt_path=best, weights_only=True, verbose=False)
    write_report(model, folder, trainer.is_global_zero)
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}


def write_report(model: Model, folder: Path, main: bool = True) -> None:
    """Writes ``report.txt`` with precision, recall and F1 of each class, if the last test was a classification."""
    confusion = model.evaluation.arrays.get("test", {}).get("confusion")
    if main and confusion is not None:
        names = getattr(model.spec.target, "names", ())
        run_folder.write(folder / "report.txt", report(confusion, names))


def run_summary(
    config: dict[str, Any],
    model: Model,
    datamodule: DataSource,
    trainer: L.Trainer,
    trained: weights.Weights | None = None,
) -> dict[str, str]:
    """Returns the rows of the table that is printed when a run starts."""
    sizes = ", ".join(f"{size:,} {part}" for part, size in datamodule.sizes().items())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = str(trainer.strategy.root_device)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    of_them = f", {trainable:,} of them trainable" if trainable < parameters else ""
    start = {"weights": f"{trained.source}{weights.describe_new_parameters(model, trained)}"} if trained else {}
    return {
        "model": f"{type(model).__name__}, {parameters:,} parameters{of_them}",
        **start,
        "data": f"{type(datamodule).__name__}, {sizes}",
        "objective": objective_name(model),
        "device": device + (f", {trainer.world_size} processes" if trainer.world_size > 1 else ""),
        "seed": str(config["seed"]),
    }


def objective_name(model: Model) -> str:
    """Returns the name of the objective, or of the model's method that computes a custom loss."""
    kind = type(model)
    steps = ("training_step", "step")
    override = next((name for name in steps if getattr(kind, name) is not getattr(Model, name)), None)
    if override is None or isinstance(model, SinglePass):
        return type(model.objective).__name__
    return f"{kind.__name__}.{override}"


def show_results(metrics: dict[str, float]) -> None:
    """Prints the table of metrics with their epochs: the test is of the best epoch, not of the last one."""
    best = metrics.get("best/epoch")
    rows: dict[str, str] = {}
    for name, value in metrics.items():
        epoch = best if name.startswith(("test/", "best/")) else metrics.get("epochs")
        if name in ("lr", "best/epoch", "optimized") or (name.startswith("best/") and best == metrics.get("epochs")):
            continue
        suffix = f" (epoch {epoch:g})" if "/" in name and epoch is not None and best is not None else ""
        rows[f"{name}{suffix}"] = f"{value:.6g}"
    show_table("results", rows)


def overrides() -> list[str]:
    """Returns the command-line overrides; empty if Hydra did not compose the config."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def redirect_library_logs() -> None:
    """Redirects messages and warnings of libraries to the log."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
