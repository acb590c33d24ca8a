"""A run from its config to its metrics, top to bottom."""

from __future__ import annotations

import logging
import os
import random
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
from primer.checkpoints.resuming import check_resuming
from primer.checkpoints.transfer import Transfer
from primer.config.instantiate import instantiate, locate
from primer.data.base import DataModule
from primer.models.base import Model
from primer.models.base.overhead import Quiet
from primer.objectives.classification import report
from primer.optim import Schedule
from primer.records import run_folder
from primer.records.console import is_main_process, show_table
from primer.regularization import Regularization
from primer.run.accelerators import check_accelerator, check_compiler
from primer.run.monitoring import check_monitors, watched

# Lightning asks the driver of NVIDIA for the number of GPUs before each optimizer step, which takes a tenth of a
# millisecond where there is none; PyTorch's own answer is immediate. Only forking after CUDA's start needs the former.
os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def train(cfg: DictConfig) -> dict[str, float]:
    """Trains, tests the best checkpoint, and leaves all of it in the run folder.

    Args:
        cfg: the composed config of ``configs/train.yaml``, without Hydra's own part.

    Returns:
        The metrics: ``train/loss``, ``val/…``, ``test/…``, and ``epochs``, ``steps``, ``fit_seconds``.

    Raises:
        InputError: where the config cannot be carried out.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    folder = Path(config["paths"]["output_dir"])
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    if config["trainer"]["compile"]:
        check_compiler(config["accelerator"])
    resume = reading.find(config["resume"], ("last", "best")) if config["resume"] else None
    config["seed"] = seed_everything(config["seed"])

    regularization = instantiate(config["regularization"], Regularization)
    trained = read_weights(config)
    datamodule = build_data(config, regularization)
    if trained:
        weights.set_image_format(datamodule, trained, config["transfer"]["image_size"])
        config["model"] = weights.with_stem(config["model"], trained)
    model = build_model(config, datamodule, regularization)
    check_monitors(config, model, datamodule)
    if resume:
        check_resuming(resume, model)
    callbacks = build_callbacks(config, datamodule, regularization)
    if trained:
        weights.load(model, trained)
        callbacks += instantiate(config["transfer"], Transfer).apply(model)
    loggers = build_loggers(config)
    trainer = build_trainer(config, callbacks, loggers)

    if is_main_process():
        run_folder.write_provenance(folder, config, overrides())
    show_table("primer", run_summary(config, model, datamodule, trainer, trained))
    started = time.perf_counter()
    trainer.fit(model, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    metrics |= {"epochs": trainer.current_epoch, "steps": trainer.global_step}
    metrics["fit_seconds"] = round(time.perf_counter() - started, 3)

    if config["test"]:
        metrics |= test(trainer, model, datamodule, folder)
    if trainer.is_global_zero:
        run_folder.write_metrics(folder, metrics)
        show_results(metrics)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    return metrics


def seed_everything(seed: int | None) -> int:
    """Seeds Python, NumPy and torch; 0 is a seed, and None draws one. Returns it."""
    if seed is None:
        drawn = random.SystemRandom().randrange(2**31)
        seed = drawn if is_main_process() else int(os.environ["PL_GLOBAL_SEED"])  # All processes of a run share one.
    return L.seed_everything(seed, workers=True, verbose=False)


def build_data(config: dict[str, Any], regularization: Regularization | None = None) -> DataModule:
    """The data of a config, read and split."""
    steps = list(regularization.augmentation.values()) if regularization else []
    return instantiate(config["data"], DataModule, augmentation=steps).prepare()


def build_model(config: dict[str, Any], datamodule: DataModule, regularization: Regularization) -> Model:
    """The model of a config, with what the run says of its objective, optimizer, schedule and penalties."""
    objective = instantiate(config["objective"], target=datamodule.spec.target)
    model = instantiate(config["model"], Model, spec=datamodule.spec, objective=objective)
    model.optimizer = instantiate(config["optimizer"])
    model.schedule = build_schedule(watched(config, datamodule, config["scheduler"]))
    model.l1, model.l2 = regularization.l1, regularization.l2
    model.config = config
    if config["trainer"]["channels_last"]:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if config["trainer"]["compile"]:
        model.compile()
    return model


def read_weights(config: dict[str, Any]) -> weights.Weights | None:
    """The trained weights that a config asks for."""
    if config["weights"] is None:
        return None
    settings = {key: value for key, value in config["model"].items() if key != "_target_"}
    kind = locate(config["model"]["_target_"], Model)
    return weights.read(config["weights"], kind, settings, config["paths"]["data_dir"])


def build_schedule(settings: dict[str, Any]) -> Schedule:
    """A schedule from one node that holds its interval, monitor and warm-up beside the settings of its scheduler."""
    ours = {key: settings[key] for key in ("interval", "monitor", "warmup")}
    theirs = {key: value for key, value in settings.items() if key not in ours}
    return Schedule(instantiate(theirs) if theirs else None, **ours)


def build_loggers(config: dict[str, Any]) -> list[Logger]:
    """The loggers of a config; Weights & Biases is given the config itself."""
    loggers = []
    for node in config["logger"].values():
        more = {"config": config} if node["_target_"] == "primer.records.loggers.wandb" else {}
        loggers.append(instantiate(node, Logger, **more))
    return loggers


def build_callbacks(config: dict[str, Any], datamodule: DataModule, regularization: Regularization) -> list[L.Callback]:
    """The callbacks of a config, early stopping and the average of the weights."""
    nodes = [watched(config, datamodule, node) for node in config["callbacks"].values()]
    callbacks = [instantiate(node, L.Callback) for node in nodes]
    stop = regularization.early_stopping
    if stop.patience is not None:
        goal = watched(config, datamodule, {"monitor": config["monitor"], "mode": config["mode"]})
        callbacks.append(EarlyStopping(**goal, patience=stop.patience, min_delta=stop.min_delta))
    if regularization.ema is not None:
        callbacks.append(EMA(regularization.ema))
    return callbacks


def build_trainer(config: dict[str, Any], callbacks: list[L.Callback], loggers: list[Logger]) -> L.Trainer:
    """Lightning's trainer: the ``trainer`` group says how long, the ``accelerator`` group where."""
    settings = {key: value for key, value in config["trainer"].items() if key not in ("compile", "channels_last")}
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
        profiler=settings["profiler"] or Quiet(),
    )


def test(trainer: L.Trainer, model: Model, datamodule: DataModule, folder: Path) -> dict[str, float]:
    """Tests the best checkpoint, or the model as it is where none was saved, and writes a report of each class."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "") or None
    trainer.test(model, datamodule=datamodule, ckpt_path=best, weights_only=True, verbose=False)
    write_report(model, folder, trainer.is_global_zero)
    return {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}


def write_report(model: Model, folder: Path, main: bool = True) -> None:
    """``report.txt``: precision, recall and F1 of each class, where the last test was one of classes."""
    confusion = model.history.get("test", {}).get("confusion")
    if main and confusion is not None:
        names = getattr(model.spec.target, "names", ())
        run_folder.write(folder / "report.txt", report(confusion, names))


def run_summary(
    config: dict[str, Any],
    model: Model,
    datamodule: DataModule,
    trainer: L.Trainer,
    trained: weights.Weights | None = None,
) -> dict[str, str]:
    """What is run, in a few words."""
    sizes = {part: data.size for part, data in datamodule.parts.items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = str(trainer.strategy.root_device)
    learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    share = f", {learning:,} of them learn" if learning < parameters else ""
    start = {"weights": f"{trained.source}{weights.note(model, trained)}"} if trained else {}
    return {
        "model": f"{type(model).__name__}, {parameters:,} parameters{share}",
        **start,
        "data": f"{type(datamodule).__name__}, " + ", ".join(f"{size:,} {part}" for part, size in sizes.items()),
        "objective": type(model.objective).__name__,
        "device": device + (f", {trainer.world_size} processes" if trainer.world_size > 1 else ""),
        "seed": str(config["seed"]),
    }


def show_results(metrics: dict[str, float]) -> None:
    """The table at the end."""
    show_table("results", {name: f"{value:.6g}" for name, value in metrics.items() if name != "lr"})


def overrides() -> list[str]:
    """What was typed, where Hydra composed the config."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def redirect_library_logs() -> None:
    """Sends the notes and warnings of the libraries to the log."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
