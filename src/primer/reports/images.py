"""Pictures of what a network learns from images, and of how it errs: tensors in, figures out.

matplotlib is imported where something is drawn, and only its objects are used, never pyplot: no global state
changes, and no display is needed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.spec import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 20
"""Up to so many classes a cell of the confusion matrix holds its number."""

LABELLED = 100
"""Up to so many classes each has its name at the axes; of more, every second or third."""

MOST_FILTERS, MOST_MAPS, MOST_POINTS = 256, 16, 5000
"""What a picture shows at most: of the filters of a layer, the maps of a layer, the samples of a scatter plot."""

TILE = 32
"""The pixels of a tile of a mosaic, at least about."""


def draw_confusion(counts: Int[Tensor, "true predicted"], names: Sequence[str]) -> Figure:
    """The confusion matrix, a row for each true class: counts on the left, shares of the true class on the right."""
    counts, classes = counts.cpu(), len(names)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side, size = (max(2.5, 0.5 * classes), 8) if classes <= NUMBERED else (min(0.14 * classes, 15.0), 7)
    every = math.ceil(classes / LABELLED)
    places, labels = range(0, classes, every), [short(name, 20) for name in names[::every]]
    beside, above = 0.45 + max(map(len, labels)) * size * 0.65 / 72, 0.35  # A letter is some 0.65 of its size wide.
    figure = _figure(2 * (side + beside) + 0.3, side + beside + above)
    panels = ((counts, counts.max().item(), "counts"), (share, 1.0, "share of the true class"))
    for k, (values, most, title) in enumerate(panels):
        axes = _panel(figure, beside + k * (side + beside + 0.15), beside, side, side)
        axes.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=max(most, 1e-12), interpolation="nearest")
        axes.set_axis_on()
        axes.set_title(title, fontsize=9)
        axes.set_xticks(places, labels, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(places, labels, fontsize=size, parse_math=False)
        axes.set(xlabel="predicted", ylabel="true")
        if classes <= NUMBERED:
            _write_cells(axes, values, most / 2)
    return figure


def draw_filters(kernels: Float[Tensor, "filters channels height width"]) -> Figure:
    """The filters of a layer side by side, each on a scale of its own: grey is zero, the largest weight is black or
    white. Three channels are read as colours; of any other number the first is shown."""
    shown = kernels[:MOST_FILTERS].float().cpu()
    largest = shown.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    columns = math.ceil(math.sqrt(len(shown)))
    pixels = mosaic(_colours((1 + shown / largest) / 2), columns)
    height, width = pixels.shape[:2]
    figure = _figure(6, 6 * height / width + 0.4)
    axes = _panel(figure, 0.1, 0.1, 5.8, 5.8 * height / width)
    axes.imshow(pixels.numpy(), interpolation="nearest")
    some = f"{len(shown)} of {len(kernels)}" if len(shown) < len(kernels) else str(len(kernels))
    axes.set_title(f"first layer: {some} filters of {kernels.shape[2]}x{kernels.shape[3]}", fontsize=9)
    return figure


def draw_feature_maps(
    images: Float[Tensor, "images channels height width"], layers: Mapping[str, Float[Tensor, "images maps h w"]]
) -> Figure:
    """What layers put out for a few images, which stand at the left: a row an image, a column a map, at most
    ``MOST_MAPS`` of them. Each map has one scale for all of its images, from its smallest value to its largest.

    Args:
        images: values in [0, 1].
        layers: the outputs by the name of the layer.
    """
    cell, gap, top = 0.6, 0.1, 0.3
    width = cell * (MOST_MAPS + 1) + 3 * gap
    heights = [len(images) * cell * maps.shape[2] / maps.shape[3] for maps in layers.values()]
    figure = _figure(width, sum(heights) + (top + gap) * len(heights))
    inputs = mosaic(_colours(images.float().cpu()), columns=1)
    bottom = figure.get_figheight()
    for height, (name, maps) in zip(heights, layers.items(), strict=True):
        bottom -= top + height
        shown = maps[:, :MOST_MAPS].float().cpu()
        low, high = shown.amin((0, 2, 3), keepdim=True), shown.amax((0, 2, 3), keepdim=True)
        heat = _heat((shown - low) / (high - low).clamp(min=1e-12))
        tiles = heat.new_ones(len(heat), MOST_MAPS, *heat.shape[2:])
        tiles[:, : heat.shape[1]] = heat
        left = _panel(figure, gap, bottom, cell, height)
        left.imshow(inputs.numpy())
        right = _panel(figure, cell + 2 * gap, bottom, cell * MOST_MAPS, height)
        right.imshow(mosaic(tiles.flatten(0, 1), MOST_MAPS).numpy())
        some = f"{shown.shape[1]} of {maps.shape[1]}" if shown.shape[1] < maps.shape[1] else str(maps.shape[1])
        title = f"{name}: {some} maps of {maps.shape[2]}x{maps.shape[3]}"
        right.set_title(title, fontsize=9, loc="left", parse_math=False)
        bottom -= gap
    return figure


def draw_captioned(
    images: Float[Tensor, "images channels height width"], captions: Sequence[str], title: str
) -> Figure:
    """Images with values in [0, 1], each above its caption of two lines."""
    tiles = _colours(images.float().cpu())
    columns = min(8, math.ceil(math.sqrt(len(tiles))))
    rows = math.ceil(len(tiles) / columns)
    wide, high, under, top = 1.6, 1.6 * tiles.shape[1] / tiles.shape[2], 0.4, 0.35
    figure = _figure(max(columns * wide, 4.8), rows * (high + under) + top)
    axes = _panel(figure, 0, 0, columns * wide, rows * (high + under))
    for k, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = k % columns * wide, k // columns * (high + under)
        axes.imshow(tile.numpy(), extent=(x + 0.05, x + wide - 0.05, y + high, y + 0.05), interpolation="nearest")
        axes.text(x + 0.05, y + high + 0.04, caption, fontsize=7, va="top", parse_math=False)
    axes.set(xlim=(0, columns * wide), ylim=(rows * (high + under), 0))
    figure.text(0.05 / figure.get_figwidth(), 1 - 0.22 / figure.get_figheight(), title, fontsize=9)
    return figure


def draw_predictions(
    predicted: Float[Tensor, "samples values"], true: Float[Tensor, "samples values"], names: Sequence[str]
) -> Figure:
    """Predicted against true values, a panel for each name; on the diagonal they are the same."""
    every = math.ceil(len(true) / MOST_POINTS)
    predicted, true = predicted[::every].float().cpu(), true[::every].float().cpu()
    columns = math.ceil(math.sqrt(len(names)))
    rows = math.ceil(len(names) / columns)
    figure = _figure(3.6 * columns, 3.6 * rows, layout="constrained")
    for k, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.scatter(true[:, k].numpy(), predicted[:, k].numpy(), s=6, alpha=0.5, linewidths=0)
        axes.axline((true[0, k].item(), true[0, k].item()), slope=1, color="grey", linewidth=0.8)
        axes.set_title(short(name, 40), fontsize=9, parse_math=False)
        axes.set(xlabel="true", ylabel="predicted")
    return figure


def original(images: Float[Tensor, "images channels height width"], kind: Image) -> Tensor:
    """Images in their own colours, in [0, 1]: the standardisation undone. Without one, images outside of [0, 1] are
    brought there together, from their smallest value to their largest."""
    images = images.float().cpu()
    if kind.mean and kind.std:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (kind.mean, kind.std))
        return (images * std + mean).clamp(0, 1)
    low, high = images.min(), images.max()
    return images if low >= 0 and high <= 1 else (images - low) / (high - low).clamp(min=1e-12)


def mosaic(tiles: Float[Tensor, "tiles height width 3"], columns: int) -> Float[Tensor, "rows columns 3"]:
    """One image of many, row by row, with white between them. Small ones are enlarged by whole factors, so that the
    white is narrow."""
    factor = max(1, TILE // max(tiles.shape[1:3]))
    tiles = tiles.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    count, height, width, _ = tiles.shape
    rows, gap = math.ceil(count / columns), max(1, width // 16)
    sheet = tiles.new_ones(rows * columns, height + gap, width + gap, 3)
    sheet[:count, :height, :width] = tiles
    sheet = sheet.unflatten(0, (rows, columns)).transpose(1, 2).reshape(rows * (height + gap), -1, 3)
    return sheet[:-gap, :-gap]


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi="figure", pil_kwargs={"compress_level": 3})
    return content.getvalue()


def short(name: str, most: int) -> str:
    """A name on one line, of at most so many characters."""
    name = " ".join(name.split())
    return name if len(name) <= most else name[: most - 1] + "…"


def _colours(images: Tensor) -> Tensor:
    """``(images, height, width, 3)`` from ``(images, channels, height, width)``: grey unless there are 3 channels."""
    if images.shape[1] != 3:
        images = images[:, :1].expand(-1, 3, -1, -1)
    return images.permute(0, 2, 3, 1)


def _heat(values: Tensor) -> Tensor:
    """``(..., 3)`` colours from dark blue to yellow for values from 0 to 1."""
    from matplotlib import colormaps

    return torch.from_numpy(colormaps["viridis"](values.numpy())[..., :3]).float()


def _write_cells(axes: Axes, values: Tensor, dark: float) -> None:
    for row, column in values.nonzero().tolist():
        value = values[row, column].item()
        axes.text(
            column, row, f"{value:.2f}" if values.is_floating_point() else str(value),
            ha="center", va="center", fontsize=7, color="white" if value > dark else "black",
        )  # fmt: skip


def _figure(width: float, height: float, **settings: Any) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, **settings)


def _panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes without ticks at a place given in inches."""
    whole = figure.get_figwidth(), figure.get_figheight()
    axes = figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))
    axes.set_axis_off()
    return axes
