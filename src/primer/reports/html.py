"""Renders the report of a run from the files of its run folder. This module does not import torch."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from primer.errors import InputError
from primer.records import run_folder
from primer.records.baselines import baseline_names, baselines_of
from primer.reports.curves import History, draw_curves, find_best_epoch, read_history
from primer.reports.page import render

CAPTIONS = {
    "curves": "Learning curves",
    "lr_find": "Learning rate range test",
    "confusion": "Confusion matrix",
    "probabilities": "Calibration and precision–recall",
    "predictions": "Predictions and residuals",
    "forecast": "Forecast",
    "regions": "Predictions over the plane",
    "examples": "Examples",
    "frames": "Videos",
    "mistakes": "Worst mistakes",
    "activations": "Activation function",
    "filters": "Filters of the first layer",
    "feature_maps": "Feature maps",
    "augmented": "Augmented training images",
    "attention": "Attention",
    "attention_heads": "Attention of each head",
    "positions": "Encodings of positions",
    "gradients": "Gradients",
}
"""Titles of the pictures, in their order."""

SUMMARY = ("epochs", "steps", "fit_seconds", "best/epoch")

NOTICEABLE = 0.1
"""The fraction of the validation loss by which a difference counts."""


def write_html(folder: Path, redraw: bool = False) -> Path:
    """Writes ``report.html`` in a run folder.

    Args:
        folder: the run folder.
        redraw: whether to draw ``pictures/curves.png`` again.

    Returns:
        The file.

    Raises:
        InputError: if the folder is not a run folder.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.yaml")
    file = folder / "report.html"
    run_folder.write(file, render("report.html.j2", **read_run(folder, redraw)))
    return file


def read_run(folder: Path, redraw: bool = False) -> dict[str, Any]:
    """Returns what the report shows, from the files that the run has written."""
    config_text = (folder / "config.yaml").read_text(encoding="utf-8")
    metrics, report, environment = (
        run_folder.read_json(folder / name) for name in ("metrics.json", "report.json", "environment.json")
    )
    monitor, mode = report.get("monitor"), report.get("mode")
    csv = folder / "metrics.csv"
    history = read_history(csv) if csv.is_file() else {}
    if history and redraw:
        from primer.reports.figures import png

        run_folder.write(folder / "pictures" / "curves.png", png(draw_curves(history, monitor, mode)))
    return {
        "title": run_title(config_text, folder),
        "command": shlex.join(environment.get("command", [])),
        "environment": environment,
        "config": config_text,
        "rows": metric_rows(metrics),
        "baselines": baseline_names(metrics),
        "fit": describe_fit(history, find_best_epoch(history, monitor, mode)),
        "summary": {
            name: metrics[name] for name in ("epochs", "steps", "fit_seconds", "best/epoch") if name in metrics
        },
        "baseline": report.get("baseline", ""),
        "positive": report.get("positive"),
        "threshold": report.get("threshold"),
        "classes": report.get("classes", []),
        "mistakes": report.get("mistakes", []),
        "layers": report.get("layers", []),
        "parameters": sum(layer["parameters"] for layer in report.get("layers", [])),
        "seconds": report.get("seconds", {}),
        "pictures": read_pictures([*folder.glob("pictures/*.png"), *folder.glob("*.png")]),
    }


def run_title(config_text: str, folder: Path) -> str:
    """Returns the model, the data and the run folder, such as ``MLP on Digits, 2026-01-31_12-00-00``; the folder alone
    if its config does not name both."""
    config = yaml.safe_load(config_text) or {}
    classes = [str(config.get(group, {}).get("_target_", "")).rpartition(".")[2] for group in ("model", "data")]
    name = folder.resolve().name
    return f"{' on '.join(classes)}, {name}" if all(classes) else name


def metric_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row per metric, with its value in training, validation and test, and those of the baselines."""
    stages = {"train": "train/", "validation": "best/val/", "test": "test/"}
    if not any(name.startswith("best/val/") for name in metrics):
        stages["validation"] = "val/"
    names = [name.removeprefix(prefix) for prefix in stages.values() for name in metrics if name.startswith(prefix)]
    return [
        {"name": name, "baselines": baselines_of(f"test/{name}", metrics)}
        | {stage: metrics.get(f"{prefix}{name}") for stage, prefix in stages.items()}
        for name in dict.fromkeys(names)
    ]


def describe_fit(history: History, best: int | None) -> str:
    """Says in plain words what the losses show about over- and underfitting; empty without both losses."""
    train, val = (dict(history.get(name, [])) for name in ("train/loss", "val/loss"))
    shared = sorted(train.keys() & val.keys())
    if not shared:
        return ""
    last, lowest = shared[-1], min(shared, key=lambda epoch: val[epoch])
    gap, scale = val[last] - train[last], max(abs(val[last]), 1e-12)
    text = f"After epoch {last} the training loss is {train[last]:.4g} and the validation loss {val[last]:.4g}. "
    if len(shared) > 2 and val[last] - val[lowest] > NOTICEABLE * scale:
        text += f"The validation loss was lowest after epoch {lowest} ({val[lowest]:.4g}) and has risen since, while "
        text += "training went on: the model overfits. Stop earlier, regularize more, or use more data."
    elif len(shared) > 2 and lowest == last and val[shared[-2]] - val[last] > NOTICEABLE / 5 * abs(val[shared[0]]):
        text += "The validation loss is still falling: the model underfits so far. Train longer, or raise the "
        text += "learning rate."
    elif gap > 3 * NOTICEABLE * scale:
        text += "The gap is large but the validation loss does not rise: some overfitting, which regularization or "
        text += "more data may reduce."
    else:
        text += "Both are close: no sign of overfitting. If the result is not good enough, try a larger model."
    return text + (f" The best epoch is {best}." if best is not None else "")


def read_pictures(files: Iterable[Path]) -> list[dict[str, str]]:
    """Returns the title and the content, as a data URI, of each picture."""
    return [
        {
            "title": CAPTIONS.get(file.stem, file.stem.replace("_", " ")),
            "data": f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}",
        }
        for file in sorted(files, key=lambda file: (_position(file.stem), file.stem))
    ]


def _position(name: str) -> int:
    return list(CAPTIONS).index(name) if name in CAPTIONS else len(CAPTIONS)
