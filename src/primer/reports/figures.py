"""What all figures share: their size, text and file format. This module does not import torch.

matplotlib is imported only when something is drawn, and through its object-oriented API rather than pyplot, so no
global state changes and no display is needed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = 12
"""The font size of labels, in points: legible when a figure is shown at half its size."""

TRAIN, VALIDATION, REFERENCE, WRONG = "#1f77b4", "#d95f02", "#7f7f7f", "#c62828"
"""Colors: training or the model, validation, a reference such as a baseline, and mistakes."""


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """Returns an empty figure with a size in inches, at 100 pixels per inch."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, **settings)


def label_axes(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Labels axes in the size of all figures, and adds a faint grid."""
    axes.set_xlabel(x, fontsize=TEXT, parse_math=False)
    axes.set_ylabel(y, fontsize=TEXT, parse_math=False)
    if title:
        axes.set_title(title, fontsize=TEXT, parse_math=False)
    axes.tick_params(labelsize=TEXT - 1)
    axes.grid(alpha=0.3)


def add_legend(axes: Axes, columns: int = 2) -> None:
    """Adds a legend above the axes, where it never covers a curve."""
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, fontsize=TEXT - 1, frameon=False, borderaxespad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def png(figure: Figure) -> bytes:
    """Renders a figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi="figure", pil_kwargs={"compress_level": 3})
    return content.getvalue()


def short(name: str, most: int) -> str:
    """Puts a name on one line and truncates it to ``most`` characters."""
    name = " ".join(name.split())
    return name if len(name) <= most else name[: most - 1] + "…"
