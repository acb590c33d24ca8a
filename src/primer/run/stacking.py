"""Checks that runs can be trained together: what differs between them, and what each of them uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

from primer import callbacks as ours
from primer.batch import Batch
from primer.checkpoints.last_checkpoint import LastCheckpoint
from primer.checkpoints.resume import Resume
from primer.checkpoints.saving import Checkpoint
from primer.config.instantiate import import_target
from primer.data.base import DataModule
from primer.data.loading.loader import TensorLoader
from primer.errors import InputError
from primer.models.base import GradientFree, Model
from primer.optim.stacked import FLAGS, RULES
from primer.run.building import Parts
from primer.run.monitoring import MonitorCheck

MAY_DIFFER = (
    "seed", "resume", "optimizer.", "scheduler.", "regularization.l1", "regularization.l2",
    "regularization.early_stopping.", "trainer.gradient_clip_val", "model.initialization",
)  # fmt: skip
"""The settings that each model may have for itself: those that act on its weights alone."""

FIXED: dict[str, tuple[Any, ...]] = {
    "_target_": ("lightning.Trainer",),
    "max_steps": (-1,),
    "max_time": (None,),
    "accumulate_grad_batches": (1,),
    "precision": ("32-true", 32),
    "check_val_every_n_epoch": (1,),
    "val_check_interval": (None, 1.0),
    "limit_train_batches": (None, 1.0),
    "limit_val_batches": (None, 1.0),
    "limit_test_batches": (None, 1.0),
    "num_sanity_val_steps": (0,),
    "deterministic": (False, None),
    "detect_anomaly": (False,),
    "profiler": (None,),
    "compile": (False,),
    "channels_last": (False,),
}
"""The settings of the trainer whose only value is the default."""

FREE = ("max_epochs", "gradient_clip_val", "gradient_clip_algorithm")
"""The settings of the trainer that may have any value."""

SUPPORTED = (
    Checkpoint, LastCheckpoint, EarlyStopping, MonitorCheck, Resume,
    ours.Progress, ours.StopOnNaN, ours.Report, ours.Pictures, ours.GeneratedSamples, ours.SampleQuality,
)  # fmt: skip
"""The callbacks that act within training and whose effect is the same when models train together, or which do nothing
for such models."""

INSTEAD = "use hydra/launcher=basic"


def check_configs(configs: Sequence[dict[str, Any]]) -> None:
    """Raises ``InputError`` if a setting of a run, or a difference between two, rules out training them together."""
    for config in configs:
        for setting, reason in _unsupported(config):
            raise InputError(f"{setting}: hydra/launcher=vmap {reason}; {INSTEAD}")
    first, *others = (_flatten(config, config["paths"]["output_dir"]) for config in configs)
    for other in others:
        different = [path for path in first.keys() | other.keys() if first.get(path) != other.get(path)]
        rejected = sorted(
            (path for path in different if not _may_differ(path)), key=lambda path: (path.count("."), path)
        )
        if rejected:
            raise InputError(
                f"{rejected[0]}: hydra/launcher=vmap trains models together that differ in their seed, the numbers of "
                f"their optimizer, their schedule, initialization, L1, L2 and early stopping only; {INSTEAD}"
            )


def check_parts(parts: Parts) -> None:
    """Raises ``InputError`` if the model, the data or a callback rules out training several models together."""
    for setting, reason in (*_model(parts.model), *_data(parts.datamodule), *_callbacks(parts.callbacks)):
        raise InputError(f"{setting}: hydra/launcher=vmap {reason}; {INSTEAD}")


def _unsupported(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("weights", "probe"):
        if config[name] is not None:
            yield f"{name}={config[name]}", "does not support it"
    for name in ("embeddings", "freeze_embeddings"):
        if config["model"].get(name):
            yield f"model.{name}={config['model'][name]}", "does not support it"
    trainer, accelerator, regularization = config["trainer"], config["accelerator"], config["regularization"]
    for name, value in trainer.items():
        if name not in FREE and value not in FIXED.get(name, (None,)):
            yield f"trainer.{name}={value}", "does not support it"
    if type(trainer["max_epochs"]) is not int or trainer["max_epochs"] < 1:
        yield f"trainer.max_epochs={trainer['max_epochs']}", "needs a number of epochs"
    if accelerator["devices"] not in (1, "1", "auto") or accelerator["num_nodes"] != 1:
        yield f"accelerator.devices={accelerator['devices']}", "uses one device"
    if accelerator["strategy"] != "auto":
        yield f"accelerator.strategy={accelerator['strategy']}", "uses one device"
    if regularization["ema"] is not None:
        yield "regularization.ema", "does not support it"
    for name, node in regularization["augmentation"].items():
        if isinstance(node, dict) and "_target_" in node:
            yield f"regularization/augmentation={name}", "does not support random augmentation"
    kind = import_target(config["optimizer"]["_target_"])
    if kind not in RULES:
        names = ", ".join(one.__name__ for one in RULES)
        yield f"optimizer={config['optimizer']['_target_'].rsplit('.', 1)[-1]}", f"supports {names}"
    for name in ("maximize", "differentiable", "capturable"):
        if config["optimizer"].get(name):
            yield f"optimizer.{name}", "does not support it"
    for name in ("lr", "momentum", "weight_decay"):
        if isinstance(config["optimizer"].get(name), str):
            yield f"optimizer.{name}", "needs a number"


def _may_differ(path: str) -> bool:
    shared = [f"optimizer.{name}" for name in ("_target_", *FLAGS)]
    return path.startswith(MAY_DIFFER) and path not in shared


def _flatten(node: Any, folder: str, path: str = "") -> dict[str, Any]:
    """Returns the leaves of a config by their dotted paths. Paths in the run folder are relative to it."""
    if isinstance(node, dict):
        return {
            key: leaf for name, part in node.items() for key, leaf in _flatten(part, folder, f"{path}.{name}").items()
        }
    return {path.lstrip("."): node.replace(folder, "") if isinstance(node, str) else node}


def _model(model: Model) -> Iterator[tuple[str, str]]:
    kind, name = type(model), f"model={type(model).__name__}"
    if isinstance(model, GradientFree):
        yield name, "trains by gradient, and this model learns without"
    hooks = [hook for hook in dir(Model) if hook.startswith("on_") or hook.endswith("_step")]
    for method in (*hooks, "step", "optimizer_groups", "configure_optimizers", "training_loss", "penalty"):
        if getattr(kind, method) is not getattr(Model, method):
            yield name, f"needs a model with the default training step, and this one overrides {method}"
    if model.views != 1:
        yield name, "does not support several views of a sample"
    if not all(parameter.requires_grad for parameter in model.parameters()):
        yield name, "does not support parameters that are not trained"


def _data(data: Any) -> Iterator[tuple[str, str]]:
    name = f"data={type(data).__name__}"
    if not isinstance(data, DataModule) or not all(
        isinstance(part, Batch) and part.targets is not None for part in data.parts.values()
    ):
        yield name, "needs data with targets that fits in memory"
        return
    loader = data.train_dataloader()
    if not isinstance(loader, TensorLoader) or loader.lengths is not None or loader.target_lengths is not None:
        yield name, "needs samples of one shape, without padding"


def _callbacks(callbacks: Sequence[L.Callback]) -> Iterator[tuple[str, str]]:
    for callback in callbacks:
        kind = type(callback)
        if kind in SUPPORTED:
            if isinstance(callback, Checkpoint) and (callback.save_top_k != 1 or callback._every_n_epochs != 1):
                yield f"callbacks ({kind.__name__})", "saves only the best and the last epoch"
            continue
        hooks = [hook for hook in dir(L.Callback) if hook.startswith(("on_train", "on_val", "on_before", "on_after"))]
        if any(getattr(kind, hook) is not getattr(L.Callback, hook) for hook in hooks):
            yield f"callbacks ({kind.__name__})", "does not support callbacks that act within training"
    monitored = [one for one in callbacks if isinstance(one, Checkpoint) and not isinstance(one, LastCheckpoint)]
    if len(monitored) > 1:
        yield "callbacks", "saves the checkpoint of one best epoch, and these save several"
