"""Draws predictions beside the truth: of values, forecasts, probabilities, tags and sequences, and over a plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.objectives.ranking import curves
from primer.reports.figures import (
    REFERENCE,
    TEXT,
    TRAIN,
    VALIDATION,
    WRONG,
    add_legend,
    label_axes,
    new_figure,
    short,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_POINTS, MAX_VALUES, MAX_STEPS, MAX_CURVES = 5000, 4, 200, 10
"""The maximum number of points in a scatter plot, of values with a panel of their own, of steps of a forecast, and of
precision–recall curves."""

WIDTH = 84
"""The maximum number of characters in a line of an example."""


class Example(NamedTuple):
    """One line of an example: its name, its words, and which of them are wrong."""

    name: str
    words: Sequence[str]
    wrong: Sequence[bool]


def draw_predictions(
    predicted: Float[Tensor, "samples values"], true: Float[Tensor, "samples values"], names: Sequence[str]
) -> Figure:
    """Draws predicted against true values, with the diagonal for reference, and below them the residuals, true minus
    predicted, against the predicted values. There is a column per name."""
    stride = math.ceil(len(true) / MAX_POINTS)
    predicted, true = predicted[::stride].double().cpu(), true[::stride].double().cpu()
    shown = list(names)[:MAX_VALUES]
    figure = new_figure(4.4 * len(shown), 7.4, layout="constrained")
    for k, name in enumerate(shown):
        axes = figure.add_subplot(2, len(shown), k + 1)
        axes.scatter(true[:, k].numpy(), predicted[:, k].numpy(), s=10, alpha=0.5, linewidths=0, color=TRAIN)
        axes.axline((true[0, k].item(), true[0, k].item()), slope=1, color=REFERENCE, linewidth=1.2)
        label_axes(axes, "true", "predicted", short(name, 30))
        axes = figure.add_subplot(2, len(shown), len(shown) + k + 1)
        residuals = (true[:, k] - predicted[:, k]).numpy()
        axes.scatter(predicted[:, k].numpy(), residuals, s=10, alpha=0.5, linewidths=0, color=TRAIN)
        axes.axhline(0, color=REFERENCE, linewidth=1.2)
        label_axes(axes, "predicted", "true - predicted")
    return figure


def draw_forecast(
    predicted: Float[Tensor, "steps values"],
    true: Float[Tensor, "steps values"],
    naive: Float[Tensor, "steps values"],
    names: Sequence[str],
) -> Figure:
    """Draws the last ``MAX_STEPS`` forecasts, the truth and the naive forecast, in order of time, for the first and the
    last of the values."""
    chosen = sorted({0, len(names) - 1})
    figure = new_figure(10, 4.0 * len(chosen), layout="constrained")
    for row, k in enumerate(chosen):
        axes = figure.add_subplot(len(chosen), 1, row + 1)
        steps = range(max(0, len(true) - MAX_STEPS), len(true))
        lines = (
            ("truth", true, {"color": "black", "linewidth": 1.8}),
            ("naive forecast", naive, {"color": REFERENCE, "linewidth": 1.2, "linestyle": "--"}),
            ("forecast", predicted, {"color": VALIDATION, "linewidth": 1.8}),
        )
        for label, values, style in lines:
            axes.plot(steps, values[-MAX_STEPS:, k].double().cpu().numpy(), label=label, **style)
        label_axes(axes, "step of the test part", short(names[k], 30))
        add_legend(axes, columns=3)
    return figure


def draw_regions(
    grid: Int[Tensor, "rows columns"],
    extent: tuple[float, float, float, float],
    points: Float[Tensor, "samples 2"],
    classes: Int[Tensor, " samples"],
    names: tuple[Sequence[str], Sequence[str]],
) -> Figure:
    """Draws the predicted class over a plane, and test samples in the color of their true class.

    Args:
        grid: the predicted classes.
        extent: the left, right, lower and upper end of the grid.
        points, classes: the samples.
        names: the names of the two features, and of the classes.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    features, labels = names
    colors = [colormaps["tab10"](k % 10) for k in range(len(labels))]
    figure = new_figure(6.4, 5.6, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        grid.cpu().numpy(), origin="lower", extent=extent, aspect="auto", alpha=0.3, interpolation="nearest",
        cmap=ListedColormap(colors), vmin=-0.5, vmax=len(labels) - 0.5,
    )  # fmt: skip
    for k, label in enumerate(labels[:MAX_CURVES]):
        some = points[classes == k].float().cpu().numpy()
        axes.scatter(some[:, 0], some[:, 1], s=16, color=colors[k], edgecolors="white", linewidths=0.4, label=label)
    label_axes(axes, short(features[0], 30), short(features[1], 30))
    add_legend(axes, columns=4)
    return figure


def draw_surface(
    grid: Float[Tensor, "rows columns"],
    extent: tuple[float, float, float, float],
    points: Float[Tensor, "samples 2"],
    values: Float[Tensor, " samples"],
    names: tuple[Sequence[str], str],
) -> Figure:
    """Draws the predicted value over a plane as contours, and test samples in the color of their true value.

    Args:
        grid: the predicted values.
        extent: the left, right, lower and upper end of the grid.
        points, values: the samples.
        names: the names of the two features, and of the value.
    """
    features, value = names
    figure = new_figure(7.2, 5.6, layout="constrained")
    axes = figure.add_subplot()
    low = min(grid.min().item(), values.min().item())
    high = max(grid.max().item(), values.max().item(), low + 1e-12)
    levels = [low + (high - low) * k / 12 for k in range(13)]
    filled = axes.contourf(grid.double().cpu().numpy(), levels=levels, extent=extent, cmap="viridis")
    some = points.double().cpu().numpy()
    axes.scatter(
        some[:, 0], some[:, 1], c=values.double().cpu().numpy(), s=16, vmin=low, vmax=high, edgecolors="white",
        linewidths=0.4, cmap="viridis", label="test samples, in the color of their true value",
    )  # fmt: skip
    label_axes(axes, short(features[0], 30), short(features[1], 30))
    figure.colorbar(filled).set_label(f"predicted {short(value, 30)}", fontsize=TEXT, parse_math=False)
    add_legend(axes)
    return figure


def draw_probabilities(
    reliability: Float[Tensor, "bins 3"],
    scores: Int[Tensor, "classes bins 2"] | None,
    names: Sequence[str],
    frequency: float,
) -> Figure:
    """Draws how often predictions of each confidence are correct, and precision against recall.

    Args:
        reliability: the number of predictions in each bin, how many are correct, and the sum of their confidences.
        scores: see ``primer.objectives.ranking.Ranking``; None leaves out the second panel.
        names: the class of each row of ``scores``.
        frequency: the fraction of positive samples, which is the precision of a guess.
    """
    figure = new_figure(10.4 if scores is not None else 5.2, 5.0, layout="constrained")
    axes = figure.add_subplot(1, 1 if scores is None else 2, 1)
    count, correct, confidence = reliability[reliability[:, 0] > 0].float().cpu().unbind(1)
    axes.plot([0, 1], [0, 1], color=REFERENCE, linestyle="--", linewidth=1.2, label="perfect calibration")
    axes.plot((confidence / count).numpy(), (correct / count).numpy(), marker="o", color=TRAIN, label="model")
    label_axes(axes, "confidence of the prediction", "fraction correct")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    add_legend(axes)
    if scores is not None:
        axes = figure.add_subplot(1, 2, 2)
        judged = [k for k in range(len(scores)) if scores[k, :, 1].sum() and scores[k, :, 0].sum()]
        for k in judged[:MAX_CURVES]:
            precision, recall, _ = (values[0] for values in curves(scores[k : k + 1].cpu()))
            reached = recall.diff(prepend=torch.zeros(1)) > 0
            axes.plot(recall[reached].numpy(), precision[reached].numpy(), linewidth=1.8, label=short(names[k], 14))
        axes.axhline(frequency, color=REFERENCE, linestyle="--", linewidth=1.2, label="guess")
        label_axes(axes, "recall", "precision")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        add_legend(axes, columns=4)
    return figure


def draw_examples(examples: Sequence[Sequence[Example]], title: str) -> Figure:
    """Draws examples below each other, each of several named lines of words; words that are wrong are red. A long
    example is cut."""
    line, gap, character, margin = 0.26, 0.2, 0.1, 1.1
    rows = sum(len(example) for example in examples)
    height = rows * line + len(examples) * gap + 0.5
    figure = new_figure(margin + WIDTH * character + 0.2, height)
    width = figure.get_figwidth()
    figure.text(0.1 / width, 1 - 0.3 / height, title, fontsize=TEXT, parse_math=False)
    y = height - 0.5
    for example in examples:
        columns = _columns([each.words for each in example])
        for each in example:
            y -= line
            figure.text(0.1 / width, y / height, each.name, fontsize=TEXT - 1, color=REFERENCE, parse_math=False)
            for start, word, wrong in zip(columns, each.words, each.wrong, strict=False):
                figure.text(
                    (margin + start * character) / width, y / height, short(word, 16), fontsize=TEXT - 1,
                    family="monospace", color=WRONG if wrong else "black", parse_math=False,
                    fontweight="bold" if wrong else "normal",
                )  # fmt: skip
        y -= gap
    return figure


def _columns(lines: Sequence[Sequence[str]]) -> list[int]:
    """Returns where the words of lines start that are aligned word by word, up to ``WIDTH`` characters."""
    starts, position = [], 0
    for k in range(max(len(words) for words in lines)):
        widest = max(len(short(words[k], 16)) for words in lines if k < len(words))
        if position + widest > WIDTH:
            break
        starts.append(position)
        position += widest + 1
    return starts
