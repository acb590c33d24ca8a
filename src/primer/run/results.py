"""What a run reports: a summary at its start, its metrics and a table at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from primer.callbacks import Baseline
from primer.checkpoints import embeddings, weights
from primer.data.source import DataSource
from primer.models.base import GradientFree, Model
from primer.objectives import ModelLoss
from primer.objectives.class_metrics import report
from primer.records import run_folder
from primer.records.baselines import baselines_of
from primer.records.console import say, show_table
from primer.run.monitoring import Goal
from primer.spec import Classes, MaskedToken, NextToken


def explain_end(trainer: L.Trainer) -> Iterator[str]:
    """Yields why a run ended before ``max_epochs``, if a limit or early stopping ended it, and whether it has no best
    checkpoint although it has one to save."""
    stops = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]
    timer = next((one for one in trainer.callbacks if isinstance(one, Timer)), None)  # type: ignore[attr-defined]
    remaining = timer.time_remaining() if timer else None
    where = f"epoch {trainer.current_epoch}, step {trainer.global_step}"
    if stop := next((one for one in stops if one.wait_count >= one.patience), None):
        unit = "epochs" if trainer.check_val_every_n_epoch == 1 and trainer.val_check_interval == 1.0 else "validations"
        yield f"stopped early after {where}: {stop.monitor} did not improve for {stop.patience} {unit}"
    elif remaining is not None and remaining <= 0:
        yield f"stopped after {where}: trainer.max_time is over"
    elif 0 < trainer.max_steps <= trainer.global_step and trainer.current_epoch != trainer.max_epochs:
        yield f"stopped after {where}: trainer.max_steps={trainer.max_steps}"
    for checkpoint in trainer.checkpoint_callbacks:
        if isinstance(checkpoint, ModelCheckpoint) and checkpoint.monitor and not checkpoint.best_model_path:
            yield (
                f"note: {checkpoint.monitor} was never logged, so no best checkpoint was saved, and the final model is "
                f"tested; validation runs every {trainer.check_val_every_n_epoch} epochs "
                f"(trainer.check_val_every_n_epoch)"
            )


def best_metrics(trainer: L.Trainer, goal: Goal) -> dict[str, float]:
    """Returns the epoch of the best checkpoint and its validation metrics, ``best/epoch`` and ``best/val/…``, and the
    metric that it was selected by."""
    best = Path(getattr(trainer.checkpoint_callback, "best_model_path", ""))
    if not best.is_file():
        return {}
    content = torch.load(best, map_location="cpu", weights_only=True, mmap=True)
    metrics = content["primer"]["metrics"]
    names = [name for name in metrics if name.startswith("val/") or name == goal.monitor]
    return {"best/epoch": content["epoch"] + 1} | {f"best/{name}": metrics[name] for name in names}


def optimized_metrics(configured: str | list[str] | None, goal: Goal, metrics: dict[str, float]) -> dict[str, float]:
    """Returns the metrics that are reported to a sweep: ``optimized``, the configured one or the one that selects the
    best checkpoint; or ``optimized/NAME`` for each of several. Validation metrics are those of the best epoch."""
    names = configured if isinstance(configured, list) else [configured or goal.monitor]
    result = {}
    for name in names:
        value = optimized_value(name, metrics) if name else None
        if value is not None:
            result[f"optimized/{name}" if len(names) > 1 else "optimized"] = value
    return result


def optimized_value(name: str, metrics: dict[str, float]) -> float | None:
    """Returns a metric of the best epoch; None, after a message, if it was not logged."""
    if name.startswith("val/") and not any(metric.startswith(("val/", "best/val/")) for metric in metrics):
        name = "train/loss"  # There was no validation: the training loss replaces it, as for the best checkpoint.
    value = metrics.get(f"best/{name}", metrics.get(name))
    if value is None:
        print(f"optimized_metric={name} was not logged; available: {', '.join(metrics)}", file=sys.stderr)
    return value


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
    vectors: embeddings.Embeddings | None = None,
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
        **({"embeddings": embeddings.describe_embeddings(model, vectors)} if vectors else {}),
        "data": f"{type(datamodule).__name__}, {sizes}",
        **positive_class(model),
        "objective": objective_name(model),
        "device": device + (f", {trainer.world_size} processes" if trainer.world_size > 1 else ""),
        "seed": str(config["seed"]),
    }


def positive_class(model: Model) -> dict[str, str]:
    """Returns a row with the class that precision, recall and F1 are of; empty unless there are two classes."""
    target = model.spec.target
    if not isinstance(target, Classes) or len(target.names) != 2 or isinstance(model.objective, ModelLoss):
        return {}
    return {"positive class": f"{target.names[target.positive]}, which precision, recall and F1 are of"}


def objective_name(model: Model) -> str:
    """Returns the name of the objective, or of the model's method that computes a custom loss."""
    kind = type(model)
    steps = ("training_step", "step")
    override = next((name for name in steps if getattr(kind, name) is not getattr(Model, name)), None)
    if override is None or isinstance(model, GradientFree):
        return type(model.objective).__name__
    return f"{kind.__name__}.{override}"


def baseline_description(callbacks: Sequence[L.Callback]) -> str:
    """Returns what the baseline of the last test predicts; empty if there was none."""
    return next((callback.description for callback in callbacks if isinstance(callback, Baseline)), "")


def show_results(metrics: dict[str, float], model: Model, baseline: str = "") -> None:
    """Prints the table of metrics with their epochs: the test is of the best epoch, not of the last one. The baseline
    stands beside the model, and a result that is not better than it is called so.

    Args:
        metrics: the metrics of the run.
        model: the model.
        baseline: what the baseline predicts.
    """
    best = metrics.get("best/epoch")
    rows: dict[str, str] = {}
    for name, value in metrics.items():
        epoch = best if name.startswith(("test/", "best/")) else metrics.get("epochs")
        if name in ("lr", "best/epoch") or name.startswith(("optimized", "baseline/")):
            continue
        if name.startswith("best/") and best == metrics.get("epochs"):
            continue
        suffix = f" (epoch {epoch:g})" if "/" in name and epoch is not None and best is not None else ""
        references = [f"{label} {reference:.6g}" for label, reference in baselines_of(name, metrics).items()]
        beside = f"  ({', '.join(references)})" if references else ""
        rows[f"{name}{suffix}"] = f"{value:.6g}{beside}"
    if baseline:
        rows["baseline"] = baseline
    show_table("results", rows)
    for name, label in not_better_than_baseline(metrics, model):
        reference = baselines_of(name, metrics)[label]
        what = f"the baseline's {reference:.4g} ({baseline})" if label == "baseline" else f"{reference:.4g} of {label}"
        say(f"note: {name} {metrics[name]:.4g} is not better than {what}")


def not_better_than_baseline(metrics: dict[str, float], model: Model) -> list[tuple[str, str]]:
    """Returns the metric that the model is judged by first, with each baseline than which it is not better: accuracy
    for classes; F1 of entities, or accuracy, for tags; the absolute error for forecasts, and the squared error for
    other values; perplexity for language models, and the hit rate for items."""
    directions = model.objective.directions()
    forecast = getattr(model.spec.target, "continues", ())
    headlines = ("entity_f1", "accuracy", "hit_rate_at_10", "mae" if forecast else "mse")
    headlines = ("perplexity", *headlines) if isinstance(model.spec.target, NextToken | MaskedToken) else headlines
    for name in headlines:
        value, baselines = metrics.get(f"test/{name}"), baselines_of(f"test/{name}", metrics)
        if value is not None and baselines:
            sign = 1 if directions.get(name) else -1
            return [(f"test/{name}", label) for label, other in baselines.items() if not sign * value > sign * other]
    return []
