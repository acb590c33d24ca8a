"""Where a decoder looks: weights in, a figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor

from primer.reports.images import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 60
"""Of a longer sequence only so many tokens are shown."""

CELL, GAP, PER_ROW = 0.24, 0.35, 2
"""Inches of a cell and around a map, and maps side by side."""


class Map(NamedTuple):
    """The tokens that were read and written, and the weight of each of the former as each of the latter was written."""

    source: Sequence[str]
    written: Sequence[str]
    weights: Float[Tensor, "written source"]


def draw_attention(maps: Sequence[Map]) -> Figure:
    """A heat map for each pair of sequences: the source across, what was written down, white for no weight and dark
    blue for all of it."""
    from matplotlib.figure import Figure

    maps = [Map(some.source[:MOST], some.written[:MOST], some.weights[:MOST, :MOST]) for some in maps]
    rows = [maps[start : start + PER_ROW] for start in range(0, len(maps), PER_ROW)]
    # The longest label decides on the room for all of them; a letter is some 0.07 inches wide.
    label = 0.1 + 0.07 * max(len(_label(token)) for some in maps for token in (*some.source, *some.written))
    width = max(sum(label + GAP + CELL * len(some.source) for some in row) for row in rows)
    heights = [label + GAP + CELL * max(len(some.written) for some in row) for row in rows]
    figure = Figure(figsize=(width, sum(heights)), dpi=100)
    top = sum(heights)
    for row, height in zip(rows, heights, strict=True):
        left = 0.0
        for some in row:
            across, down = CELL * len(some.source), CELL * len(some.written)
            place = (left + label, top - label - down, across, down)
            whole = (width, sum(heights))
            axes = figure.add_axes(tuple(inches / whole[k % 2] for k, inches in enumerate(place)))  # type: ignore[arg-type]
            axes.imshow(some.weights.float().cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.xaxis.tick_top()
            texts = [[_label(token) for token in tokens] for tokens in some[:2]]
            upright = 0 if max(map(len, texts[0])) <= 2 else 90
            axes.set_xticks(range(len(texts[0])), texts[0], rotation=upright, fontsize=8, parse_math=False)
            axes.set_yticks(range(len(texts[1])), texts[1], fontsize=8, parse_math=False)
            axes.tick_params(length=0)
            left += label + GAP + across
        top -= height
    return figure


def _label(token: str) -> str:
    """A token on an axis; a space can be seen."""
    return "␣" if token == " " else short(token, 12)
