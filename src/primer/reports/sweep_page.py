"""The HTML page of a sweep: one file without any reference to another. This module does not import torch."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from primer.reports.comparison import Group, number
from primer.reports.comparison_page import draw_overlaid
from primer.reports.figures import REFERENCE, TEXT, label_axes, new_figure, png, short
from primer.reports.page import render
from primer.reports.sweep import Sweep, importance, to_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOGARITHMIC = 50
"""The ratio of the largest to the smallest value from which an axis is logarithmic."""

MOST_CHOICES = 12
"""The number of choices up to which an axis names each."""


def page(sweep: Sweep, picture: bytes | None = None) -> str:
    """Returns the page: a table that can be sorted, means, curves, parallel coordinates, and importances.

    Args:
        sweep: the sweep.
        picture: a PNG file that answers the question of the sweep.
    """
    metrics = sweep.comparison.metrics() if sweep.comparison else []
    rows = [
        [
            str(row.job.number), sweep.label(row), row.status, row.job.reason, f"{row.job.seconds:.1f}",
            *(number(row.metric(name)) for name in metrics),
        ]
        for row in sweep.rows
    ]  # fmt: skip
    groups: list[Group] = sweep.comparison.groups if sweep.comparison and sweep.comparison.repeated else []
    return render(
        "sweep.html.j2",
        sweep=sweep,
        metrics=metrics,
        rows=rows,
        counts=_count_statuses(sweep),
        groups=[
            [group.label, str(group.count), *(number(group.mean(name), group.deviation(name)) for name in metrics)]
            for group in groups
        ],
        importances={name: f"{value:.0%}" for name, value in importance(sweep).items()},
        picture=_data_uri(picture) if picture else "",
        coordinates=draw_coordinates(sweep),
        curves=draw_overlaid(sweep.comparison) if sweep.comparison else "",
    )


def draw_coordinates(sweep: Sweep) -> str:
    """Draws each job as a line through its swept parameters and its value of the goal, as a data URI. Pruned jobs are
    gray. The result is empty without a goal or a swept parameter."""
    goal = sweep.goal
    lines = [k for k, row in enumerate(sweep.rows) if row.job.status == "pruned" or (goal and row.metric(goal))]
    names = [name for name in sweep.parameters if len({sweep.parameters[name][k] for k in lines}) > 1]
    if not goal or not names or not sweep.comparison or not sweep.comparison.goal:
        return ""
    scales = [_Scale([sweep.parameters[name][k] for k in lines]) for name in names]
    values = [sweep.rows[k].metric(goal) for k in lines]
    known = [value for value in values if value is not None]
    scales.append(_Scale([str(value) for value in known]))
    lowest, highest = min(known), max(known)
    figure = new_figure(max(6.0, 2.2 * len(scales)), 4.6, layout="constrained")
    axes = figure.add_subplot()
    from matplotlib import colormaps

    colors = colormaps["viridis" if sweep.comparison.goal.mode == "max" else "viridis_r"]
    for k, value in sorted(zip(lines, values, strict=True), key=lambda pair: (pair[1] is not None, -pair[0])):
        cells = [sweep.parameters[name][k] for name in names] + ([] if value is None else [str(value)])
        heights = [scale.height(cell) for scale, cell in zip(scales, cells, strict=False)]
        color = REFERENCE if value is None else colors((value - lowest) / ((highest - lowest) or 1.0))
        axes.plot(range(len(heights)), heights, color=color, alpha=0.35 if value is None else 0.85, linewidth=1.5)
    _label_scales(axes, scales, [*names, goal.removeprefix("best/")])
    return _data_uri(png(figure))


class _Scale:
    """A vertical axis, from 0 to 1, of numbers or of names."""

    def __init__(self, cells: list[str]) -> None:
        numbers = [to_number(cell) for cell in cells]
        self.choices: list[str] = []
        self.low = self.high = 0.0
        self.logarithmic = False
        if cells and None not in numbers:
            self.low, self.high = min(n for n in numbers if n is not None), max(n for n in numbers if n is not None)
            self.logarithmic = self.low > 0 and self.high > LOGARITHMIC * self.low
        else:
            self.choices = sorted(set(cells))

    def height(self, cell: str) -> float:
        """Returns the position of a cell."""
        if self.choices:
            return self.choices.index(cell) / max(1, len(self.choices) - 1)
        import math

        value, low, high = float(cell), self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Returns positions and labels."""
        if self.choices and len(self.choices) <= MOST_CHOICES:
            return [(self.height(choice), short(choice, 16)) for choice in self.choices]
        if self.choices:
            return []
        return [(self.height(str(value)), f"{value:.3g}") for value in dict.fromkeys((self.low, self.high))]


def _label_scales(axes: Axes, scales: list[_Scale], names: list[str]) -> None:
    for k, scale in enumerate(scales):
        axes.axvline(k, color=REFERENCE, linewidth=0.8)
        for height, label in scale.ticks():
            axes.text(k + 0.03, height, label, fontsize=TEXT - 2, va="center", parse_math=False)
    label_axes(axes, "", "")
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), [short(name, 24) for name in names], fontsize=TEXT - 1)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(names) - 0.6)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _count_statuses(sweep: Sweep) -> str:
    statuses = [row.status for row in sweep.rows]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def _data_uri(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
