"""The HTML page that compares runs: one file without any reference to another. This module does not import torch."""

from __future__ import annotations

import base64

from primer.errors import InputError
from primer.records.runs import Run
from primer.reports.comparison import Comparison, number, setting
from primer.reports.curves import History, read_history
from primer.reports.figures import add_legend, label_axes, new_figure, png, short
from primer.reports.page import render

MAX_CURVES = 20
"""The number of runs whose curves are drawn: the best ones."""

MAX_LABELS, LABEL_LENGTH = 10, 40
"""The number of labels up to which there is a legend, and the length to which each is cut."""


def page(comparison: Comparison) -> str:
    """Returns the page: settings that differ, metrics, and overlaid curves.

    Raises:
        InputError: if the history of a run cannot be read.
    """
    metrics = comparison.metrics()
    groups = [
        [group.label, str(group.count), *(number(group.mean(name), group.deviation(name)) for name in metrics)]
        for group in comparison.groups
    ]
    runs = [
        [str(k), describe(run), *(number(run.metrics.get(name)) for name in metrics)]
        for k, run in enumerate(comparison.runs, 1)
    ]
    return render(
        "comparison.html.j2",
        comparison=comparison,
        metrics=metrics,
        groups=groups if comparison.repeated else [],
        settings=[
            [name, *(setting(name, value) for value in values)] for name, values in comparison.differences.items()
        ],
        runs=runs,
        curves=draw_overlaid(comparison),
        drawn=min(len(runs), MAX_CURVES),
    )


def describe(run: Run) -> str:
    """Returns the folder of a run, and whether it did not finish."""
    return str(run.folder) if run.finished else f"{run.folder} (not finished)"


def draw_overlaid(comparison: Comparison) -> str:
    """Draws the training loss and the monitored metric of the best runs over the epochs, as a data URI. Runs with the
    same settings have the same color. The result is empty if no run has a history."""
    from matplotlib.ticker import MaxNLocator

    histories = [read_curves(run) for run in comparison.runs[:MAX_CURVES]]
    monitor = comparison.goal.monitor.removeprefix("best/") if comparison.goal else "val/loss"
    names = [name for name in dict.fromkeys(["train/loss", monitor]) if any(name in each for each in histories)]
    if not names:
        return ""
    labels = label_runs(comparison)[:MAX_CURVES]
    distinct = list(dict.fromkeys(labels))
    figure = new_figure(5.6 * len(names), 4.6, layout="constrained")
    for k, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), k + 1)
        labeled = set()
        for history, label in zip(histories, labels, strict=True):
            if points := history.get(name):
                color = f"C{distinct.index(label) % 10}"
                shown = None if label in labeled else short(label, LABEL_LENGTH)
                axes.plot(
                    *zip(*points, strict=True), color=color, marker="o" if len(points) == 1 else None, label=shown
                )
                labeled.add(label)
        label_axes(axes, "epoch", short(name, LABEL_LENGTH))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(distinct) <= MAX_LABELS:
            add_legend(axes, columns=1 if comparison.repeated else 4)
    return f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}"


def label_runs(comparison: Comparison) -> list[str]:
    """Returns a label for the curve of each run: that of its group if settings were repeated, else its number."""
    if not comparison.repeated:
        return [f"run {k}" for k in range(1, len(comparison.runs) + 1)]
    labels = {id(run): group.label for group in comparison.groups for run in group.runs}
    return [labels[id(run)] for run in comparison.runs]


def read_curves(run: Run) -> History:
    """Reads the history of a run; empty if it has none.

    Raises:
        InputError: if it cannot be read.
    """
    file = run.folder / "metrics.csv"
    try:
        return read_history(file) if file.is_file() else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
