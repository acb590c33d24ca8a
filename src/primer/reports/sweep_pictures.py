"""Pictures that answer the question of a sweep: ``sweep.picture`` names one. This module does not import torch."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from primer.reports.comparison import Group, number, setting
from primer.reports.comparison_page import read_curves
from primer.reports.figures import (
    REFERENCE,
    TEXT,
    TRAIN,
    VALIDATION,
    WRONG,
    add_legend,
    label_axes,
    new_figure,
    png,
    short,
)  # fmt: skip
from primer.reports.sweep import Sweep, to_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_LENGTH = 28
"""The length to which labels are cut."""

STYLES = ("-", "--", ":")
"""Line styles, which tell apart more curves than there are colors."""


def draw_picture(sweep: Sweep) -> bytes | None:
    """Draws the picture that the config of the jobs names.

    Returns:
        A PNG file; None if the config names none, or no job that is done has the metric of the goal.
    """
    kinds = {row.run.config.get("sweep.picture") for row in sweep.done if row.run}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind not in PICTURES or not sweep.goal or not sweep.comparison:
        return None
    return png(PICTURES[kind](sweep, sweep.comparison.groups, sweep.goal))


def draw_lr(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the goal over the learning rate, and marks the best rate and the rates that failed."""
    figure = new_figure(7, 4.6, layout="constrained")
    axes = figure.add_subplot()
    _draw_line(axes, sweep, groups, goal, "optimizer.lr")
    axes.set_xscale("log")
    _label_goal(axes, "learning rate", goal)
    return figure


def draw_batch_size(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the goal and the time of training over the batch size."""
    figure = new_figure(10.4, 4.6, layout="constrained")
    for k, metric in enumerate((goal, "fit_seconds")):
        axes = figure.add_subplot(1, 2, k + 1)
        _draw_line(axes, sweep, groups, metric, "data.batch_size", best=metric == goal)
        axes.set_xscale("log", base=2)
        _label_goal(axes, "batch size", metric)
        if metric != goal:
            axes.set_ylim(bottom=0)
    return figure


def draw_bars(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the goal of each setting as a bar, best first, with the standard deviation over repetitions."""
    known = [group for group in groups if group.values(goal)][::-1]
    figure = new_figure(7, 1.4 + 0.45 * len(known), layout="constrained")
    axes = figure.add_subplot()
    colors = [*[TRAIN] * (len(known) - 1), VALIDATION]
    bars = axes.barh(_labels(known), [group.mean(goal) or 0.0 for group in known], color=colors,
                     xerr=[group.deviation(goal) or 0.0 for group in known])  # fmt: skip
    axes.bar_label(bars, [number(group.mean(goal), group.deviation(goal)) for group in known], padding=4)
    axes.margins(x=0.2)
    label_axes(axes, goal.removeprefix("best/"), "")
    return figure


def draw_gap(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the loss on the training and on the validation part after the last epoch, side by side. The training
    loss is that of training, with dropout and label smoothing."""
    known = [group for group in groups if group.values("train/loss") and group.values("val/loss")]
    figure = new_figure(max(5.0, 1.6 * len(known) + 2), 4.6, layout="constrained")
    axes = figure.add_subplot()
    for offset, metric, color in ((-0.2, "train/loss", TRAIN), (0.2, "val/loss", VALIDATION)):
        heights = [group.mean(metric) or 0.0 for group in known]
        errors = [group.deviation(metric) or 0.0 for group in known]
        label = "training" if metric == "train/loss" else "validation"
        bars = axes.bar([k + offset for k in range(len(known))], heights, 0.38, yerr=errors, color=color, label=label)
        axes.bar_label(bars, fmt="%.3g", padding=2)
    axes.set_xticks(range(len(known)), _labels(known))
    label_axes(axes, "", "loss after the last epoch")
    add_legend(axes)
    return figure


def draw_curves(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the goal of each setting over the epochs, best first in the legend: the mean over repetitions, in a band of
    their standard deviation."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(9, 5.2, layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    metric, lowest = goal.removeprefix("best/"), 1.0
    for k, (group, label) in enumerate(zip(groups, _labels(groups), strict=True)):
        by_epoch: dict[int, list[float]] = {}
        for run in group.runs:
            for epoch, value in read_curves(run).get(metric, []):
                by_epoch.setdefault(epoch, []).append(value)
        if by_epoch:
            means = {epoch: statistics.fmean(values) for epoch, values in sorted(by_epoch.items())}
            lowest = min(lowest, *means.values())
            style = STYLES[k // 10 % len(STYLES)]
            axes.plot(list(means), list(means.values()), color=f"C{k % 10}", linestyle=style,
                      label=label)  # fmt: skip
            if len(group.runs) > 1:
                spread = {epoch: statistics.stdev(by) if len(by) > 1 else 0.0 for epoch, by in by_epoch.items()}
                low, high = ([means[epoch] + sign * spread[epoch] for epoch in means] for sign in (-1, 1))
                axes.fill_between(list(means), low, high, color=f"C{k % 10}", alpha=0.2, linewidth=0)
    if metric.endswith("loss") and lowest > 0:
        axes.set_yscale("log")
    _label_goal(axes, "epoch", goal)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=TEXT - 1, frameon=False)
    return figure


def draw_folds(sweep: Sweep, groups: Sequence[Group], goal: str) -> Figure:
    """Draws the goal of each group of runs on each fold, and its mean and standard deviation over the folds."""
    tests = [name for name in (sweep.comparison.metrics() if sweep.comparison else []) if name.startswith("test/")]
    metrics = [goal, *sorted(tests, key=lambda name: name.endswith("/loss"))[:1]]
    figure = new_figure(5.4 * len(metrics), 4.6, layout="constrained")
    for k, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), k + 1)
        ticks: set[int] = set()
        for j, (group, label) in enumerate(zip(groups, _labels(groups), strict=True)):
            points = sorted(
                (run.config.get("data.fold", 0), run.metrics[metric]) for run in group.runs if metric in run.metrics
            )
            if not points:
                continue
            mean, spread = group.mean(metric) or 0.0, group.deviation(metric) or 0.0
            name, color = label if len(groups) > 1 else "mean", f"C{j % 10}"
            axes.axhspan(mean - spread, mean + spread, color=color, alpha=0.15)
            axes.axhline(mean, color=color, linestyle="--", label=f"{name} {number(mean, spread)}")
            axes.plot(*zip(*points, strict=True), "o", color=color)
            ticks |= {fold for fold, _ in points}
        axes.set_xticks(sorted(ticks))
        _label_goal(axes, "fold", metric)
        add_legend(axes)
    return figure


PICTURES: dict[str, Callable[[Sweep, Sequence[Group], str], Figure]] = {
    "lr": draw_lr,
    "bars": draw_bars,
    "curves": draw_curves,
    "gap": draw_gap,
    "batch_size": draw_batch_size,
    "folds": draw_folds,
}
"""The pictures by their names in ``sweep.picture``."""


def _draw_line(
    axes: Axes, sweep: Sweep, groups: Sequence[Group], metric: str, parameter: str, best: bool = True
) -> None:
    points = [
        (value, group.mean(metric), group.deviation(metric) or 0.0)
        for group in groups
        if group.values(metric) and (value := to_number(str(group.runs[0].config.get(parameter)))) is not None
    ]
    if best and points:
        axes.axvline(points[0][0], color=REFERENCE, linestyle="--", label=f"best: {points[0][0]:g}")
    if points:
        x, y, errors = zip(*sorted(points), strict=True)
        axes.errorbar(x, y, errors, color=TRAIN, marker="o", capsize=3)
    failed = [
        value
        for row, cell in zip(sweep.rows, sweep.parameters.get(parameter, []), strict=False)
        if row.job.status == "failed" and (value := to_number(cell)) is not None
    ]
    if failed:
        height = axes.get_ylim()[1]
        axes.plot(failed, [height] * len(failed), "x", color=WRONG, markersize=9, label="failed", clip_on=False)
    if axes.get_legend_handles_labels()[0]:
        add_legend(axes)


def _label_goal(axes: Axes, x: str, metric: str) -> None:
    names = {"fit_seconds": "seconds of training"}
    label_axes(axes, x, names.get(metric, metric.removeprefix("best/")))


def _labels(groups: Sequence[Group]) -> list[str]:
    """Returns the label of each group, without the name of the setting if there is only one."""
    names = {group.label.partition("=")[0] for group in groups}
    several = len(names) > 1 or any(" " in group.label for group in groups)
    labels = [group.label if several else group.label.partition("=")[2] for group in groups]
    return [short(setting("", label), LABEL_LENGTH) for label in labels]
