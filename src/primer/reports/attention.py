"""Draws attention weights and encodings of positions as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from primer.reports.figures import label_axes, new_figure, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_TOKENS = 60
"""Longer sequences are truncated to this number of tokens."""

CELL, GAP, PER_ROW = 0.24, 0.35, 2
"""The size of a cell and the gap around a map, in inches, and the number of maps per row."""


MAX_HEAD_TOKENS, HEAD_CELL, MAX_HEADS = 24, 0.14, 8
"""In pictures of all heads: the number of tokens, the size of a cell, and the number of layers and of heads."""


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


def draw_heads(
    weights: Float[Tensor, "layers heads rows columns"], rows: Sequence[str], columns: Sequence[str]
) -> Figure:
    """Draws a heat map for each head: a row of maps per layer. The darkest blue is the largest weight of each map; gray
    cells are masked, such as later tokens in a causal model.

    Args:
        weights: attention weights, which sum to 1 over the columns.
        rows: tokens that attend.
        columns: tokens that are attended to.
    """
    n = MAX_HEAD_TOKENS
    hidden = (weights == 0).flatten(0, 1).all(0)[:n, :n]  # A softmax is zero only where a mask is.
    weights, rows, columns = weights[-MAX_HEADS:, :MAX_HEADS, :n, :n], rows[:n], columns[:n]
    layers, heads = weights.shape[:2]
    label = 0.25 + 0.065 * max(len(_label(token)) for token in (*rows, *columns))
    width, height = label + heads * (HEAD_CELL * len(columns) + 0.2), label + layers * (HEAD_CELL * len(rows) + 0.45)
    figure = new_figure(max(width, 3), height, layout="constrained")
    grid = figure.subplots(layers, heads, squeeze=False)
    for layer, head in [(layer, head) for layer in range(layers) for head in range(heads)]:
        axes = grid[layer][head]
        values = weights[layer, head].float().masked_fill(hidden, float("nan")).cpu().numpy()
        axes.set_facecolor("lightgray")
        axes.imshow(values, cmap="Blues", vmin=0, aspect="auto")
        axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
        below, left = layer == layers - 1, head == 0
        across, down = [_label(token) for token in columns], [_label(token) for token in rows]
        rotation = 0 if max(map(len, across)) <= 2 else 90
        axes.set_xticks(range(len(across)), across if below else [], rotation=rotation, parse_math=False)
        axes.set_yticks(range(len(down)), down if left else [], parse_math=False)
        axes.tick_params(length=0, labelsize=7)
    return figure


def draw_positions(vectors: Float[Tensor, "time features"]) -> Figure:
    """Draws the encodings of positions: their entries, and the cosine similarity of each pair."""
    vectors = vectors.detach().float().cpu()
    figure = new_figure(11, 4.5, layout="constrained")
    left, right = figure.subplots(1, 2)
    limit = vectors.abs().max().item() or 1.0
    image = left.imshow(vectors.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    label_axes(left, "entry of the vector", "position", "encoding of each position")
    figure.colorbar(image, ax=left)
    unit = F.normalize(vectors, dim=1)
    image = right.imshow((unit @ unit.T).numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    label_axes(right, "position", "position", "cosine similarity")
    figure.colorbar(image, ax=right)
    for axes in (left, right):
        axes.grid(False)
    return figure


def _label(token: str) -> str:
    """Returns the axis label of a token; a space is shown as a visible symbol."""
    return "␣" if token == " " else short(token, 12)
