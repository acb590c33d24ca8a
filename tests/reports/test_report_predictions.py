"""Figures of predictions contain the data they are given, with labeled axes and legends beside the curves."""

from __future__ import annotations

import numpy as np
import torch

from primer.reports.figures import png
from primer.reports.predictions import (
    Example,
    draw_examples,
    draw_forecast,
    draw_probabilities,
    draw_regions,
    draw_surface,
)


def labels(axes) -> tuple[str, str]:
    return axes.get_xlabel(), axes.get_ylabel()


def legend_is_outside(figure) -> bool:
    png(figure)
    boxes = [
        (axes.get_legend().get_window_extent(), axes.get_window_extent()) for axes in figure.axes if axes.get_legend()
    ]
    return bool(boxes) and all(legend.y0 >= plot.y1 for legend, plot in boxes)


def test_forecast_shows_the_last_steps_and_the_naive_forecast() -> None:
    predicted, true, naive = torch.rand(3, 300, 2)
    figure = draw_forecast(predicted, true, naive, ["y t+1", "y t+2"])
    assert [labels(axes) for axes in figure.axes] == [("step of the test part", f"y t+{k}") for k in (1, 2)]
    for k, axes in enumerate(figure.axes):
        drawn = {line.get_label(): line for line in axes.get_lines()}
        for name, values in (("truth", true), ("naive forecast", naive), ("forecast", predicted)):
            np.testing.assert_allclose(drawn[name].get_ydata(), values[-200:, k])
            assert list(drawn[name].get_xdata()) == list(range(100, 300))
    assert legend_is_outside(figure)


def test_regions_show_predicted_classes_and_samples() -> None:
    grid, points, classes = torch.tensor([[0, 1], [1, 0]]), torch.rand(20, 2), torch.arange(20) % 2
    figure = draw_regions(grid, (0, 2, -1, 1), points, classes, (["x", "y"], ["no", "yes"]))
    (axes,) = figure.axes
    assert labels(axes) == ("x", "y")
    assert np.asarray(axes.images[0].get_array()).tolist() == grid.tolist()
    assert list(axes.images[0].get_extent()) == [0, 2, -1, 1]
    for k, shown in enumerate(axes.collections):
        np.testing.assert_allclose(np.asarray(shown.get_offsets()), points[classes == k])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no", "yes"]
    assert legend_is_outside(figure)


def test_surface_shows_values_and_samples() -> None:
    figure = draw_surface(torch.rand(5, 5), (0, 1, 0, 1), torch.rand(9, 2), torch.rand(9), (["a", "b"], "height"))
    axes, bar = figure.axes
    assert labels(axes) == ("a", "b")
    assert bar.get_ylabel() == "predicted height"
    assert legend_is_outside(figure)
    png(draw_surface(torch.ones(5, 5), (0, 1, 0, 1), torch.rand(3, 2), torch.ones(3), (["$", "b"], "c")))


def test_probabilities_show_calibration_and_precision_recall() -> None:
    reliability = torch.zeros(10, 3)
    reliability[6], reliability[9] = torch.tensor([10.0, 5.0, 6.5]), torch.tensor([20.0, 19.0, 19.0])
    scores = torch.zeros(1, 8, 2, dtype=torch.long)
    scores[0, 7, 1], scores[0, 5] = 2, torch.tensor([1, 2])
    figure = draw_probabilities(reliability, scores, ["spam"], 0.4)
    calibration, curve = figure.axes
    assert labels(calibration) == ("confidence of the prediction", "fraction correct")
    np.testing.assert_allclose(calibration.get_lines()[1].get_data(), [[0.65, 0.95], [0.5, 0.95]], rtol=1e-6)
    assert labels(curve) == ("recall", "precision")
    np.testing.assert_allclose(curve.get_lines()[0].get_data(), [[0.5, 1.0], [1.0, 0.8]], rtol=1e-6)
    assert legend_is_outside(figure)


def test_examples_mark_mistakes() -> None:
    lines = [
        Example("words", ["the", "$\\frac{$"], [False, False]),
        Example("predicted", ["DET", "VERB"], [False, True]),
    ]
    figure = draw_examples([lines, lines], "wrong is red")
    colors = {text.get_text(): text.get_color() for text in figure.texts}
    assert colors["VERB"] != colors["DET"] == "black"
    columns = {text.get_text(): text.get_position()[0] for text in figure.texts}
    assert columns["DET"] == columns["the"]
    assert len(png(figure)) > 3000
    long = [Example("words", ["word"] * 200, [False] * 200)]
    assert all(text.get_position()[0] < 1 for text in draw_examples([long], "cut").texts)
