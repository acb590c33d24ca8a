"""Trains a model, from its config to its metrics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning import Callback
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from primer.callbacks import Report
from primer.checkpoints import reading, weights
from primer.checkpoints.embeddings import copy_embeddings
from primer.checkpoints.resume_checks import check_resumed_config, check_resuming
from primer.checkpoints.transfer import Transfer
from primer.config.instantiate import instantiate
from primer.config.ranges import check_ranges
from primer.config.secrets import redact_strings
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.records import run_folder
from primer.records.console import is_main_process, say, show_table
from primer.records.finishing import ending_as_failed, finish
from primer.records.library_logs import redirect_library_logs
from primer.records.ownership import owns_folder
from primer.run.accelerators import check_accelerator, check_compiler
from primer.run.building import build_loggers, build_parts, build_trainer, seed_everything
from primer.run.probes import run_probe
from primer.run.profile import show_profile
from primer.run.replay import Replay, Trained
from primer.run.results import (
    baseline_description,
    best_metrics,
    explain_end,
    optimized_metrics,
    run_summary,
    show_results,
    write_report,
)


@owns_folder
def train(cfg: DictConfig, trained: Trained | None = None) -> dict[str, float]:
    """Trains a model, tests its best checkpoint, and saves everything in the run folder. If ``probe`` is set, it runs
    the probe instead.

    Args:
        cfg: composed config of ``configs/train.yaml``, without Hydra's own node.
        trained: the result of training the model together with others, which replaces the training.

    Returns:
        The metrics: those of the last epoch (``train/loss``, ``val/…``), those of the best checkpoint (``best/epoch``,
        ``best/val/…``, ``test/…``), ``optimized``, which is reported to a sweep, and ``epochs``, ``steps``,
        ``fit_seconds``. Those of a probe are its results.

    Raises:
        InputError: if the config is invalid.
    """
    config = resolve(cfg)
    check_ranges(config)
    folder = Path(config["paths"]["output_dir"])
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    if config["trainer"]["compile"]:
        check_compiler(config["accelerator"])
    config["seed"] = seed_everything(config["seed"])
    resume = reading.find_checkpoint(config["resume"], ("last", "best")) if config["resume"] else None
    resumed = reading.read_checkpoint(resume) if resume else {}
    if resume:
        check_resumed_config(resume, resumed, redact_strings(config))

    parts = build_parts(config, overrides(), trained and trained.datamodule, resumed)
    datamodule, model, callbacks, goal, pretrained, vectors = parts
    if resume:
        check_resuming(resume, resumed, model)
    if vectors:
        copy_embeddings(model, vectors)
    more: list[Callback] = [Replay(trained)] if trained else []
    if pretrained:
        weights.copy_into(model, pretrained)
        more += instantiate(config["transfer"], Transfer).apply(model)
    provenance = Provenance(folder, config, overrides(), OmegaConf.to_yaml(cfg))
    if config["probe"]:
        return run_probe(config, model, datamodule, more, provenance.write)
    recorded = config | {"monitor": goal.monitor, "mode": goal.mode}
    loggers = build_loggers(recorded, resumed["global_step"] if resume else None)
    with ending_as_failed(loggers):
        trainer = build_trainer(config, model, [*callbacks, *more, provenance], loggers)

        if is_main_process() and not resume:
            provenance.write()
        show_table("primer", run_summary(config, model, datamodule, trainer, pretrained, vectors))
        fit_started = time.perf_counter()
        trainer.fit(model, datamodule=datamodule, ckpt_path=resume, weights_only=True)
        check_trained(trainer, model)
        for line in explain_end(trainer):
            say(line)
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        # Without an optimizer, Lightning counts steps, too.
        steps = 0 if isinstance(model, SinglePass) else trainer.global_step
        metrics |= {"epochs": trainer.current_epoch, "steps": steps}
        metrics["fit_seconds"] = round(trained.seconds if trained else time.perf_counter() - fit_started, 3)
        metrics |= best_metrics(trainer, goal)

        if config["test"]:
            metrics |= test(trainer, model, datamodule, folder)
        metrics |= optimized_metrics(config["optimized_metric"], goal, metrics)
        if trainer.is_global_zero:
            run_folder.write_metrics(folder, metrics)
            show_results(metrics, model, baseline_description(callbacks))
            for callback in callbacks:
                if isinstance(callback, Report):
                    callback.write(folder, baseline_description(callbacks), goal.monitor, goal.mode)
        finish(loggers, config, metrics)
        show_profile(trainer.profiler)  # pyright: ignore[reportAttributeAccessIssue]
    return metrics


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """Returns a config as plain values, without interpolations."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return config | {group: config.get(group) or {} for group in ("callbacks", "logger")}


class Provenance(Callback):
    """Writes the provenance files of a run that is resumed. It does so only once training starts, so that a command
    that is rejected before does not change the files of the run."""

    def __init__(self, folder: Path, config: dict[str, Any], overrides: list[str], raw: str) -> None:
        self.folder, self.config, self.overrides, self.raw = folder, config, overrides, raw
        self.written = False

    def write(self) -> None:
        """Writes the files, unless they have been written."""
        if not self.written:
            resumed = (self.folder / "environment.json").exists()
            run_folder.write_provenance(self.folder, self.config, self.overrides, resumed, self.raw)
            self.written = True

    @rank_zero_only
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.write()


def check_trained(trainer: L.Trainer, model: Model) -> None:
    """Raises ``InputError`` if a run ended without any training step although it was supposed to train."""
    untrained = trainer.global_step == 0 and not isinstance(model, SinglePass)
    if untrained and trainer.max_epochs != 0 and trainer.max_steps != 0:
        raise InputError(
            f"{type(model).__name__} was not trained: there are no batches, or its training_step does not step an "
            "optimizer"
        )


def test(trainer: L.Trainer, model: Model, datamodule: DataSource, folder: Path) -> dict[str, float]:
    """Tests the best checkpoint, or the current model if none was saved, and writes a report on each class."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "") or None
    trainer.test(model, datamodule=datamodule, ckpt_path=best, weights_only=True, verbose=False)
    write_report(model, folder, trainer.is_global_zero)
    return {
        name: value.item()
        for name, value in trainer.callback_metrics.items()
        if name.startswith(("test/", "baseline/"))
    }


def overrides() -> list[str]:
    """Returns the command-line overrides; empty if Hydra did not compose the config."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)  # type: ignore[return-value]
