"""The picture of the gradients of a run: by layer over the steps, and by distance in time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from primer.reports.images import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 12
"""Of how many layers the names are shown."""

MOST_CURVES = 6
"""Of how many epochs the curve over the distance is drawn: the first, the last, and others spread between them."""


def draw_gradients(
    layers: Mapping[str, Sequence[tuple[int, float]]], distances: Mapping[int, Sequence[float]]
) -> Figure:
    """Norms on a logarithmic scale; what is zero or no finite number is left out.

    Args:
        layers: of each layer, from the input to the output, pairs of step and norm.
        distances: by the number of steps after which it was taken, the norm at each distance from the last step of a
            sequence; empty for a network without a recurrence.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    panels = 2 if distances else 1
    figure = Figure(figsize=(6.4 * panels, 4.4), dpi=100, layout="constrained")
    axes = figure.add_subplot(1, panels, 1)
    shades, named = colormaps["viridis"], spread(list(layers), MOST_NAMED)
    for k, (name, points) in enumerate(layers.items()):
        steps, norms = zip(*points, strict=True)
        label = short(name, 40) if name in named else None
        marker = "." if len(points) == 1 else None
        colour = shades(0.9 * k / max(1, len(layers) - 1))
        axes.plot(steps, positive(norms), label=label, color=colour, linewidth=0.9, marker=marker)
    _finish(axes, "norm of the gradient by layer", "step")
    if distances:
        axes = figure.add_subplot(1, panels, 2)
        shown = spread(list(distances), MOST_CURVES)
        for k, step in enumerate(shown):
            colour = shades(0.9 * k / max(1, len(shown) - 1))
            axes.plot(positive(distances[step]), label=f"up to step {step}", color=colour, linewidth=0.9)
        _finish(axes, "norm of the gradient by distance from the last step", "steps back in time")
    return figure


def positive(values: Sequence[float]) -> list[float]:
    """Values that a logarithmic scale can show; not a number in place of the others."""
    return [value if 0 < value < math.inf else math.nan for value in values]


def spread(items: list, most: int) -> list:
    """At most so many of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _finish(axes: Axes, title: str, x: str) -> None:
    axes.set_yscale("log")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x)
    axes.grid(alpha=0.3)
    legend = axes.legend(fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)
