"""Draws attention weights as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor

from primer.reports.figures import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_TOKENS = 60
"""Longer sequences are truncated to this number of tokens."""

CELL, GAP, PER_ROW = 0.24, 0.35, 2
"""The size of a cell and the gap around a map, in inches, and the number of maps per row."""


class AttentionMap(NamedTuple):
    """The source tokens, the predicted tokens, and the attention weight of each source token for each prediction."""

    source: Sequence[str]
    predicted: Sequence[str]
    weights: Float[Tensor, "predicted source"]


def draw_attention(maps: Sequence[AttentionMap]) -> Figure:
    """Draws a heat map for each pair of sequences: the source along the x-axis, the prediction along the y-axis, from
    white (weight 0) to dark blue (weight 1)."""
    from matplotlib.figure import Figure

    n = MAX_TOKENS
    maps = [AttentionMap(each.source[:n], each.predicted[:n], each.weights[:n, :n]) for each in maps]
    rows = [maps[start : start + PER_ROW] for start in range(0, len(maps), PER_ROW)]
    # The longest label determines the space reserved for all of them; a character is about 0.07 inches wide.
    label = 0.1 + 0.07 * max(len(_label(token)) for each in maps for token in (*each.source, *each.predicted))
    width = max(sum(label + GAP + CELL * len(each.source) for each in row) for row in rows)
    heights = [label + GAP + CELL * max(len(each.predicted) for each in row) for row in rows]
    figure = Figure(figsize=(width, sum(heights)), dpi=100)
    top = sum(heights)
    for row, height in zip(rows, heights, strict=True):
        left = 0.0
        for each in row:
            map_width, map_height = CELL * len(each.source), CELL * len(each.predicted)
            box = (left + label, top - label - map_height, map_width, map_height)
            size = (width, sum(heights))
            axes = figure.add_axes(tuple(inches / size[k % 2] for k, inches in enumerate(box)))  # type: ignore[arg-type]
            axes.imshow(each.weights.float().cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.xaxis.tick_top()
            texts = [[_label(token) for token in tokens] for tokens in each[:2]]
            rotation = 0 if max(map(len, texts[0])) <= 2 else 90
            axes.set_xticks(range(len(texts[0])), texts[0], rotation=rotation, fontsize=8, parse_math=False)
            axes.set_yticks(range(len(texts[1])), texts[1], fontsize=8, parse_math=False)
            axes.tick_params(length=0)
            left += label + GAP + map_width
        top -= height
    return figure


def _label(token: str) -> str:
    """Returns the axis label of a token; a space is shown as a visible symbol."""
    return "␣" if token == " " else short(token, 12)
