"""Draws a learning rate range test. This module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from primer.reports.figures import REFERENCE, TRAIN, VALIDATION, add_legend, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_range_test(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggested: float | None
) -> Figure:
    """Draws the loss over the learning rate, and marks the suggestion.

    Args:
        rates, losses, smoothed: the learning rate, the loss and the smoothed loss of each step.
        suggested: the suggested learning rate, if there is one.
    """
    figure = new_figure(6.4, 4.4, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=REFERENCE, linewidth=1, alpha=0.5, label="loss")
    axes.plot(rates, smoothed, color=TRAIN, linewidth=1.8, label="smoothed")
    if suggested is not None:
        axes.axvline(suggested, color=VALIDATION, linestyle="--", linewidth=1.4, label=f"optimizer.lr={suggested:g}")
    if smoothed:
        low, high = min(smoothed), max(smoothed[: max(1, len(smoothed) // 2)])
        margin = 0.5 * (high - low) or 1.0
        axes.set_ylim(low - 0.2 * margin, high + margin)  # The loss of a step that diverges would hide all others.
    axes.set_xscale("log")
    label_axes(axes, "learning rate", "training loss")
    add_legend(axes, columns=3)
    return figure
