"""Draws the gradient norms of a run: per layer over the steps, and per distance in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from primer.reports.figures import TEXT, label_axes, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAMED = 12
"""The maximum number of layers in the legend."""

MAX_CURVES = 6
"""The maximum number of epochs whose norms by distance are drawn: the first, the last, and others evenly between."""


def draw_gradients(
    layers: Mapping[str, Sequence[tuple[int, float]]], distances: Mapping[int, Sequence[float]]
) -> Figure:
    """Draws norms on a logarithmic scale; norms that are zero or not finite are omitted.

    Args:
        layers: pairs of step and norm for each layer, ordered from input to output.
        distances: the norm at each distance from the last step of a sequence, keyed by the step of recording; empty for
            a network without recurrence.
    """
    from matplotlib import colormaps

    panels = 2 if distances else 1
    figure = new_figure(7.6 * panels, 4.4, layout="constrained")
    axes = figure.add_subplot(1, panels, 1)
    shades, named = colormaps["viridis"], spread(list(layers), MAX_NAMED)
    for k, (name, points) in enumerate(layers.items()):
        steps, norms = zip(*points, strict=True)
        label = short(name, 40) if name in named else None
        marker = "." if len(points) == 1 else None
        color = shades(0.9 * k / max(1, len(layers) - 1))
        axes.plot(steps, positive(norms), label=label, color=color, linewidth=0.9, marker=marker)
    _finish(axes, "gradient by layer", "step")
    if distances:
        axes = figure.add_subplot(1, panels, 2)
        shown = spread(list(distances), MAX_CURVES)
        for k, step in enumerate(shown):
            color = shades(0.9 * k / max(1, len(shown) - 1))
            axes.plot(positive(distances[step]), label=f"up to step {step}", color=color, linewidth=0.9)
        _finish(axes, "gradient by distance from the last step", "steps back in time")
    return figure


def positive(values: Sequence[float]) -> list[float]:
    """Replaces values that a logarithmic scale cannot show by NaN."""
    return [value if 0 < value < math.inf else math.nan for value in values]


def spread(items: list, most: int) -> list:
    """Returns at most ``most`` items, evenly spread, including the first and the last."""
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _finish(axes: Axes, title: str, x: str) -> None:
    axes.set_yscale("log")
    label_axes(axes, x, "norm", title)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=TEXT - 3, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
