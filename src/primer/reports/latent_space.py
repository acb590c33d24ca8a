"""Draws codes of samples, and samples beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.reports.figures import TEXT, TRAIN, new_figure, short
from primer.reports.images import mosaic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COLORS = 20
"""The largest number of classes that have a color of their own."""


def draw_rows(images: Float[Tensor, "rows columns channels height width"], labels: Sequence[str], title: str) -> Figure:
    """Draws rows of images with values in [0, 1], each with a label on its left."""
    rows, columns, channels, *_ = images.shape
    tiles = images.flatten(0, 1).float().cpu()
    tiles = tiles if channels == 3 else tiles[:, :1].expand(-1, 3, -1, -1)
    sheet = mosaic(tiles.permute(0, 2, 3, 1), columns)
    height, width, _ = sheet.shape
    scale = min(1.0, 9 / columns) * columns / width  # Inches per pixel.
    left = 0.1 + max(map(len, labels), default=0) * (TEXT - 3) * 0.65 / 72
    size = left + width * scale + 0.1, height * scale + 0.5
    figure = new_figure(*size)
    axes = figure.add_axes((left / size[0], 0.1 / size[1], width * scale / size[0], height * scale / size[1]))
    axes.imshow(sheet.numpy(), interpolation="nearest")
    axes.set_xticks([])
    positions = [(row + 0.5) * height / max(1, rows) for row in range(rows)] if any(labels) else []
    axes.set_yticks(positions, labels if positions else [], fontsize=TEXT - 3, parse_math=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.text(0.1 / size[0], 1 - 0.28 / size[1], title, fontsize=TEXT - 2)
    return figure


def draw_latent_map(
    codes: Float[Tensor, "samples size"], classes: Int[Tensor, " samples"] | None, names: Sequence[str]
) -> Figure:
    """Draws codes as points in a plane, with a color per class if there are classes. Codes of more than two numbers are
    projected to their two principal components."""
    points = codes.double().cpu()
    title = "codes"
    if points.shape[1] > 2:
        centered = points - points.mean(0)
        points = centered @ torch.linalg.svd(centered, full_matrices=False)[2][:2].T
        title = "the two principal components of the codes"
    figure = new_figure(8, 6.5, layout="constrained")
    axes = figure.add_subplot()
    x, y = points[:, 0], points[:, 1] if points.shape[1] > 1 else torch.zeros(len(points))
    if classes is None or not 1 < len(names) <= MAX_COLORS:
        axes.scatter(x.numpy(), y.numpy(), s=6, color=TRAIN)
    else:
        from matplotlib import colormaps

        colors = colormaps["tab10" if len(names) <= 10 else "tab20"]
        for k, name in enumerate(names):
            chosen = classes.cpu() == k
            label = short(name, 18)
            axes.scatter(x[chosen].numpy(), y[chosen].numpy(), s=6, color=colors(k), label=label)
        legend = axes.legend(
            markerscale=3, fontsize=TEXT - 3, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set_title(title, fontsize=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
