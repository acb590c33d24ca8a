"""Draws the learning curves of a run from its ``metrics.csv``. This module does not import torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from primer.reports.figures import REFERENCE, TEXT, TRAIN, VALIDATION, add_legend, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = dict[str, list[tuple[int, float]]]
"""For each metric, its value after each epoch that logged it, counted from 1."""

HEADLINES = (
    "entity_f1",
    "accuracy",
    "mase",
    "r2",
    "exact_match",
    "per",
    "perplexity",
    "return",
    "fid",
    "probe_accuracy",
)
"""The metrics that are drawn besides the loss if the loss selects the best epoch: the first that was logged."""

ADVERSARIES = {"train/discriminator": TRAIN, "train/generator": VALIDATION}
"""The two losses of a generative adversarial network, and their colors."""


def read_history(file: Path) -> History:
    """Reads ``metrics.csv``, leaving out values that are missing or not finite."""
    history: History = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            for name, cell in row.items():
                if name not in ("epoch", "step") and cell and math.isfinite(value := float(cell)):
                    history.setdefault(name, []).append((int(row["epoch"]) + 1, value))
    return history


def find_best_epoch(history: History, monitor: str | None, mode: Literal["min", "max"] | None) -> int | None:
    """Returns the first epoch with the best value of a metric; None without a metric or a value."""
    points = history.get(monitor or "")
    if not points or mode is None:
        return None
    best = (min if mode == "min" else max)(value for _, value in points)
    return next(epoch for epoch, value in points if value == best)


def draw_curves(history: History, monitor: str | None = None, mode: Literal["min", "max"] | None = None) -> Figure:
    """Draws the losses, the monitored metric and the learning rate over the epochs, and marks the best epoch.

    Args:
        history: see ``read_history``.
        monitor, mode: the metric that selects the best epoch, and whether a lower or a higher value is better.
    """
    from matplotlib.ticker import MaxNLocator

    losses = [name for name in ("train/loss", "val/loss") if name in history]
    metric = find_headline(history, monitor)
    panels = [(losses, "loss")] if losses else []
    adversaries = [name for name in ADVERSARIES if name in history]
    panels += [(adversaries, "training loss")] if adversaries else []
    panels += [(metric, metric[0].partition("/")[2])] if metric else []
    panels += [(["lr"], "learning rate")] if "lr" in history else []
    figure = new_figure(5.2 * max(1, len(panels)), 4.2, layout="constrained")
    best = find_best_epoch(history, monitor, mode)
    for k, (names, label) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), k + 1)
        for name in names:
            _plot(axes, history, name)
        if best is not None:
            axes.axvline(best, color=REFERENCE, linestyle="--", linewidth=1.2, label=f"best epoch: {best}")
        label_axes(axes, "epoch", label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if label == "learning rate" and axes.get_yscale() == "linear":
            axes.set_ylim(bottom=0)
        add_legend(axes, columns=3)
    return figure


def find_headline(history: History, monitor: str | None) -> list[str]:
    """Returns the monitored metric if it is not a loss; otherwise the most telling of the others, in each stage that
    logged it."""
    metric = (monitor or "").partition("/")[2]
    candidates: Sequence[str] = HEADLINES if metric in ("", "loss") else (metric,)
    for candidate in candidates:
        names = [name for name in (f"train/{candidate}", f"val/{candidate}") if name in history]
        if names:
            return names
    return []


def _plot(axes: Axes, history: History, name: str) -> None:
    epochs, values = zip(*history[name], strict=True)
    stage, color = ("validation", VALIDATION) if name.startswith("val/") else ("training", TRAIN)
    if name in ADVERSARIES:
        stage, color = name.partition("/")[2], ADVERSARIES[name]
    marker = "o" if len(epochs) == 1 else None
    axes.plot(epochs, values, label=stage if "/" in name else None, color=color, linewidth=1.8, marker=marker)
    if name == "lr" and min(values) > 0 and max(values) > 100 * min(values):
        axes.set_yscale("log")
    axes.yaxis.get_offset_text().set_fontsize(TEXT - 1)
