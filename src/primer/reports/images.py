"""Draws what a network learned from images, and its mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.reports.figures import new_figure, short
from primer.spec import Image, Video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NUMBERED = 20
"""The maximum number of classes for which the cells of the confusion matrix show their values."""

MAX_LABELED = 100
"""The maximum number of classes for which every class has an axis label; with more, every second or third has one."""

MAX_FILTERS, MAX_MAPS = 256, 16
"""The maximum number of filters and feature maps shown per layer."""

TILE = 32
"""The approximate minimum size of a mosaic tile, in pixels."""


def draw_confusion(counts: Int[Tensor, "true predicted"], names: Sequence[str]) -> Figure:
    """Draws the confusion matrix, a row per true class: counts on the left, fractions of each row on the right."""
    counts, classes = counts.cpu(), len(names)
    fractions = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side, size = (max(2.5, 0.5 * classes), 8) if classes <= MAX_NUMBERED else (min(0.14 * classes, 15.0), 7)
    stride = math.ceil(classes / MAX_LABELED)
    ticks, labels = range(0, classes, stride), [short(name, 20) for name in names[::stride]]
    # A character is about 0.65 times as wide as its font size.
    margin, top = 0.45 + max(map(len, labels)) * size * 0.65 / 72, 0.35
    figure = new_figure(2 * (side + margin) + 0.3, side + margin + top)
    panels = ((counts, counts.max().item(), "counts"), (fractions, 1.0, "fraction of the true class"))
    for k, (values, most, title) in enumerate(panels):
        axes = _panel(figure, margin + k * (side + margin + 0.15), margin, side, side)
        axes.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=max(most, 1e-12), interpolation="nearest")
        axes.set_axis_on()
        axes.set_title(title, fontsize=9)
        axes.set_xticks(ticks, labels, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(ticks, labels, fontsize=size, parse_math=False)
        axes.set(xlabel="predicted", ylabel="true")
        if classes <= MAX_NUMBERED:
            _write_cells(axes, values, most / 2)
    return figure


def draw_filters(kernels: Float[Tensor, "filters channels height width"]) -> Figure:
    """Draws the filters of a layer side by side, each on its own scale: gray is zero, and the weight of largest
    magnitude is black or white. Three channels are shown as RGB; otherwise only the first channel is shown."""
    shown = kernels[:MAX_FILTERS].float().cpu()
    largest = shown.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    columns = math.ceil(math.sqrt(len(shown)))
    pixels = mosaic(_colors((1 + shown / largest) / 2), columns)
    height, width = pixels.shape[:2]
    figure = new_figure(6, 6 * height / width + 0.4)
    axes = _panel(figure, 0.1, 0.1, 5.8, 5.8 * height / width)
    axes.imshow(pixels.numpy(), interpolation="nearest")
    count = f"{len(shown)} of {len(kernels)}" if len(shown) < len(kernels) else str(len(kernels))
    axes.set_title(f"first layer: {count} filters of {kernels.shape[2]}x{kernels.shape[3]}", fontsize=9)
    return figure


def draw_feature_maps(
    images: Float[Tensor, "images channels height width"], layers: Mapping[str, Float[Tensor, "images maps h w"]]
) -> Figure:
    """Draws layer outputs for a few images: the images on the left, then a column per map, at most ``MAX_MAPS``. Each
    map is scaled from its minimum to its maximum over all images.

    Args:
        images: images with values in [0, 1].
        layers: the feature maps, keyed by layer name.
    """
    cell, gap, top = 0.6, 0.1, 0.3
    width = cell * (MAX_MAPS + 1) + 3 * gap
    heights = [len(images) * cell * maps.shape[2] / maps.shape[3] for maps in layers.values()]
    figure = new_figure(width, sum(heights) + (top + gap) * len(heights))
    inputs = mosaic(_colors(images.float().cpu()), columns=1)
    bottom = figure.get_figheight()
    for height, (name, maps) in zip(heights, layers.items(), strict=True):
        bottom -= top + height
        shown = maps[:, :MAX_MAPS].float().cpu()
        low, high = shown.amin((0, 2, 3), keepdim=True), shown.amax((0, 2, 3), keepdim=True)
        heat = _heat((shown - low) / (high - low).clamp(min=1e-12))
        tiles = heat.new_ones(len(heat), MAX_MAPS, *heat.shape[2:])
        tiles[:, : heat.shape[1]] = heat
        left = _panel(figure, gap, bottom, cell, height)
        left.imshow(inputs.numpy())
        right = _panel(figure, cell + 2 * gap, bottom, cell * MAX_MAPS, height)
        right.imshow(mosaic(tiles.flatten(0, 1), MAX_MAPS).numpy())
        count = f"{shown.shape[1]} of {maps.shape[1]}" if shown.shape[1] < maps.shape[1] else str(maps.shape[1])
        title = f"{name}: {count} maps of {maps.shape[2]}x{maps.shape[3]}"
        right.set_title(title, fontsize=9, loc="left", parse_math=False)
        bottom -= gap
    return figure


def draw_captioned(
    images: Float[Tensor, "images channels height width"], captions: Sequence[str], title: str, columns: int = 0
) -> Figure:
    """Draws images with values in [0, 1], each above a two-line caption, in the given number of columns or about a
    square."""
    tiles = _colors(images.float().cpu())
    columns = columns or min(8, math.ceil(math.sqrt(len(tiles))))
    rows = math.ceil(len(tiles) / columns)
    width, height, caption_height, top = 1.6, 1.6 * tiles.shape[1] / tiles.shape[2], 0.4, 0.35
    pitch = height + caption_height
    figure = new_figure(max(columns * width, 4.8), rows * pitch + top)
    axes = _panel(figure, 0, 0, columns * width, rows * pitch)
    for k, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = k % columns * width, k // columns * pitch
        axes.imshow(tile.numpy(), extent=(x + 0.05, x + width - 0.05, y + height, y + 0.05), interpolation="nearest")
        axes.text(x + 0.05, y + height + 0.04, caption, fontsize=7, va="top", parse_math=False)
    axes.set(xlim=(0, columns * width), ylim=(rows * pitch, 0))
    figure.text(0.05 / figure.get_figwidth(), 1 - 0.22 / figure.get_figheight(), title, fontsize=9)
    return figure


def original(images: Float[Tensor, "images channels height width"], kind: Image | Video) -> Tensor:
    """Undoes the standardization of images, so that their values are in [0, 1]. If they were not standardized but are
    outside of [0, 1], they are scaled jointly from their minimum to their maximum."""
    images = images.float().cpu()
    if kind.mean and kind.std:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (kind.mean, kind.std))
        return (images * std + mean).clamp(0, 1)
    low, high = images.min(), images.max()
    return images if low >= 0 and high <= 1 else (images - low) / (high - low).clamp(min=1e-12)


def mosaic(tiles: Float[Tensor, "tiles height width 3"], columns: int) -> Float[Tensor, "rows columns 3"]:
    """Arranges images row by row in one image, with white gaps. Small images are enlarged by an integer factor, which
    keeps the gaps narrow in comparison."""
    factor = max(1, TILE // max(tiles.shape[1:3]))
    tiles = tiles.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    count, height, width, _ = tiles.shape
    rows, gap = math.ceil(count / columns), max(1, width // 16)
    sheet = tiles.new_ones(rows * columns, height + gap, width + gap, 3)
    sheet[:count, :height, :width] = tiles
    sheet = sheet.unflatten(0, (rows, columns)).transpose(1, 2).reshape(rows * (height + gap), -1, 3)
    return sheet[:-gap, :-gap]


def _colors(images: Tensor) -> Tensor:
    """Converts ``(images, channels, height, width)`` to ``(images, height, width, 3)``; gray unless channels is 3."""
    if images.shape[1] != 3:
        images = images[:, :1].expand(-1, 3, -1, -1)
    return images.permute(0, 2, 3, 1)


def _heat(values: Tensor) -> Tensor:
    """Maps values in [0, 1] to colors ``(..., 3)`` from dark blue to yellow."""
    from matplotlib import colormaps

    return torch.from_numpy(colormaps["viridis"](values.numpy())[..., :3]).float()


def _write_cells(axes: Axes, values: Tensor, dark: float) -> None:
    """Writes the nonzero values into the cells of a matrix, in white on cells above ``dark``."""
    for row, column in values.nonzero().tolist():
        value = values[row, column].item()
        axes.text(
            column, row, f"{value:.2f}" if values.is_floating_point() else str(value),
            ha="center", va="center", fontsize=7, color="white" if value > dark else "black",
        )  # fmt: skip


def _panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Adds axes without ticks, at a position given in inches."""
    total = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((left / total[0], bottom / total[1], width / total[0], height / total[1]))
    axes.set_axis_off()
    return axes
