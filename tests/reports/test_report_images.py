"""Figures of images contain the data they are given, according to the arrays they hold."""

from __future__ import annotations

import io
import math

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from sklearn.metrics import confusion_matrix

from primer.data.loading.scaling import moments, standardize
from primer.reports import images as drawing
from primer.reports.figures import png
from primer.reports.predictions import draw_predictions
from primer.spec import Image


def pixels(axes, k: int = 0) -> np.ndarray:
    return np.asarray(axes.images[k].get_array())


def size_of(figure) -> tuple[int, int]:
    content = png(figure)
    assert content.startswith(b"\x89PNG")
    height, width, _ = imread(io.BytesIO(content)).shape
    return height, width


def test_confusion_matrix_shows_counts_and_fractions() -> None:
    true, predicted = [0, 0, 0, 1, 1, 3], [0, 0, 1, 1, 3, 3]
    counts = torch.from_numpy(confusion_matrix(true, predicted, labels=range(4)))
    figure = drawing.draw_confusion(counts, ["ant", "bee", "cat", "dog"])
    left, right = figure.axes
    assert pixels(left).tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
    fractions = [[2 / 3, 1 / 3, 0, 0], [0, 0.5, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(pixels(right), fractions, rtol=1e-6)
    for axes in (left, right):
        assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee", "cat", "dog"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["ant", "bee", "cat", "dog"]
        assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    written = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in left.texts}
    assert written == {(0, 0): "2", (0, 1): "1", (1, 1): "1", (1, 3): "1", (3, 3): "1"}
    assert [text.get_text() for text in right.texts] == ["0.67", "0.33", "0.50", "0.50", "1.00"]
    size_of(figure)


@pytest.mark.parametrize("classes", [2, 20, 21, 100, 150])
def test_confusion_matrix_is_readable_for_any_number_of_classes(classes: int) -> None:
    counts = torch.eye(classes, dtype=torch.long) * 7
    figure = drawing.draw_confusion(counts, [f"class number {k} of them" for k in range(classes)])
    height, width = size_of(figure)
    assert height < 2000
    assert width < 3600
    left = figure.axes[0]
    assert len(left.texts) == (classes if classes <= 20 else 0)
    labels = left.get_yticklabels()
    assert len(labels) == (classes if classes <= 100 else 75)
    assert all(len(label.get_text()) <= 20 for label in labels)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in labels]
    assert all(box.x0 >= 0 for box in boxes)
    assert all(label.get_window_extent(renderer).y0 >= 0 for label in left.get_xticklabels())
    pitch = -np.diff([box.y0 for box in boxes])
    assert pitch.min() > 0.9 * 7 / 72 * 100  # Labels of 7 points do not overlap.


def test_names_are_not_parsed_as_math() -> None:
    figure = drawing.draw_confusion(torch.eye(3, dtype=torch.long), ["$\\frac{$", "two\nlines", ""])
    assert figure.axes[0].get_yticklabels()[1].get_text() == "two lines"
    size_of(figure)
    size_of(drawing.draw_captioned(torch.rand(1, 1, 4, 4), ["$\\frac{$"], "title"))
    size_of(draw_predictions(torch.rand(3, 1), torch.rand(3, 1), ["$\\frac{$"]))
    size_of(drawing.draw_feature_maps(torch.rand(1, 1, 4, 4), {"$\\frac{$": torch.rand(1, 2, 3, 3)}))


def test_mosaic_is_arranged_row_by_row() -> None:
    tiles = torch.arange(5.0).div(10).view(5, 1, 1, 1).expand(5, 40, 32, 3)
    sheet = drawing.mosaic(tiles, columns=3)
    assert sheet.shape == (2 * 40 + 2, 3 * 32 + 2 * 2, 3)
    for k in range(5):
        y, x = k // 3 * 42, k % 3 * 34
        assert (sheet[y : y + 40, x : x + 32] == k / 10).all()
    assert (sheet[42:, 68:] == 1).all()
    assert (sheet[40:42] == 1).all()
    assert (sheet[:, 32:34] == 1).all()


def test_small_tiles_are_enlarged_by_integer_factors() -> None:
    tile = torch.rand(1, 5, 5, 3)
    sheet = drawing.mosaic(tile, columns=1)
    assert sheet.shape == (30, 30, 3)
    assert torch.equal(sheet[::6, ::6], tile[0])
    assert torch.equal(sheet[5::6, 5::6], tile[0])


def test_filters_of_three_channels_are_shown_in_color() -> None:
    kernels = torch.zeros(2, 3, 4, 4)
    kernels[0, 0, 0, 0], kernels[0, 1, 3, 3] = 0.02, -0.01
    kernels[1, 2, 1, 2] = -50.0
    sheet = pixels(drawing.draw_filters(kernels).axes[0])
    tile, gap = 32, 2
    assert sheet.shape == (tile, 2 * tile + gap, 3)
    assert sheet[0, 0].tolist() == [1, 0.5, 0.5]
    np.testing.assert_allclose(sheet[-1, tile - 1], [0.5, 0.25, 0.5])
    assert sheet[8, tile + gap + 16].tolist() == [0.5, 0.5, 0]  # Each filter has its own scale.
    assert sheet[0, -1].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_filters_show_their_first_channel_in_gray(channels: int) -> None:
    kernels = torch.randn(4, channels, 32, 32)
    sheet = pixels(drawing.draw_filters(kernels).axes[0])
    assert sheet.shape == (66, 66, 3)
    assert (sheet[..., 0] == sheet[..., 1]).all()
    assert (sheet[..., 0] == sheet[..., 2]).all()
    for k, kernel in enumerate(kernels):
        y, x = k // 2 * 34, k % 2 * 34
        expected = 0.5 + kernel[0] / kernel.abs().max() / 2
        np.testing.assert_allclose(sheet[y : y + 32, x : x + 32, 0], expected, atol=1e-6)


def test_number_of_filters_is_limited_and_stated_in_the_title() -> None:
    axes = drawing.draw_filters(torch.randn(300, 1, 8, 8)).axes[0]
    assert axes.get_title() == "first layer: 256 of 300 filters of 8x8"
    assert pixels(axes).shape == (16 * 34 - 2, 16 * 34 - 2, 3)
    assert drawing.draw_filters(torch.zeros(6, 1, 5, 5)).axes[0].get_title() == "first layer: 6 filters of 5x5"


def test_feature_maps_have_a_row_per_image_and_a_column_per_map() -> None:
    images = torch.rand(3, 1, 32, 32)
    layers = {"first": torch.randn(3, 6, 32, 32), "last": torch.randn(3, 64, 8, 8)}
    figure = drawing.draw_feature_maps(images, layers)
    shown, first, shown_again, last = figure.axes
    for axes in (shown, shown_again):
        sheet = pixels(axes)
        assert sheet.shape == (3 * 34 - 2, 32, 3)
        for k in range(3):
            np.testing.assert_allclose(sheet[34 * k : 34 * k + 32, :, 0], images[k, 0], atol=1e-6)
    assert first.get_title("left") == "first: 6 maps of 32x32"
    assert last.get_title("left") == "last: 16 of 64 maps of 8x8"
    for axes, maps in ((first, layers["first"]), (last, layers["last"])):
        sheet = pixels(axes)
        assert sheet.shape == (3 * 34 - 2, 16 * 34 - 2, 3)
        side = maps.shape[-1]
        for row in range(3):
            for column in range(min(16, maps.shape[1])):
                tile = sheet[34 * row : 34 * row + 32 : 32 // side, 34 * column : 34 * column + 32 : 32 // side]
                own = maps[:, column]
                scaled = (own[row] - own.min()) / (own.max() - own.min())  # One scale for all images of a map.
                np.testing.assert_allclose(tile, matplotlib.colormaps["viridis"](scaled.numpy())[..., :3], atol=1e-6)
    assert (pixels(first)[:, 6 * 34 :] == 1).all()
    size_of(figure)


def test_images_are_above_their_captions() -> None:
    images = torch.rand(5, 3, 6, 9)
    axes = drawing.draw_captioned(images, [f"caption {k}" for k in range(5)], "a title").axes[0]
    assert [text.get_text() for text in axes.texts] == [f"caption {k}" for k in range(5)]
    for k, (image, text) in enumerate(zip(images, axes.texts, strict=True)):
        np.testing.assert_allclose(pixels(axes, k), image.permute(1, 2, 0), atol=1e-6)
        left, right, bottom, top = axes.images[k].get_extent()
        x, y = text.get_position()
        assert left <= x <= right
        assert top < bottom < y
        assert (right - left) / (bottom - top) == pytest.approx(9 / 6, rel=0.05)


def test_predictions_are_plotted_against_true_values() -> None:
    predicted, true = torch.randn(12_000, 2), torch.randn(12_000, 2)
    figure = draw_predictions(predicted, true, ["height", "width"])
    assert [axes.get_title() for axes in figure.axes[::2]] == ["height", "width"]
    for k, (axes, below) in enumerate(zip(figure.axes[::2], figure.axes[1::2], strict=True)):
        residuals = np.asarray(below.collections[0].get_offsets())
        np.testing.assert_allclose(residuals[:, 0], predicted[::3, k])
        np.testing.assert_allclose(residuals[:, 1], (true - predicted)[::3, k], atol=1e-6)
        points = np.asarray(axes.collections[0].get_offsets())
        assert points.shape == (4000, 2)
        np.testing.assert_allclose(points[:, 0], true[::3, k])
        np.testing.assert_allclose(points[:, 1], predicted[::3, k])
    size_of(figure)


@pytest.mark.parametrize("channels", [1, 3])
def test_original_undoes_standardization(channels: int) -> None:
    raw = torch.randint(0, 256, (10, channels, 7, 5), dtype=torch.uint8)
    kind = Image(channels, 7, 5, *moments(raw))
    scale = standardize(kind)
    assert scale is not None
    standardized = scale(raw)
    assert standardized.min() < 0
    torch.testing.assert_close(drawing.original(standardized, kind), raw / 255, atol=1e-6, rtol=0)


def test_original_keeps_images_that_were_not_standardized() -> None:
    images = torch.rand(4, 1, 3, 3)
    assert torch.equal(drawing.original(images, Image(1, 3, 3)), images)
    stretched = drawing.original(images * 10 - 5, Image(1, 3, 3))
    assert stretched.min() == 0
    assert stretched.max() == 1


def test_nan_values_can_be_drawn() -> None:
    def sizes(values: torch.Tensor) -> list[tuple[int, int]]:
        return [
            size_of(drawing.draw_filters(values)),
            size_of(drawing.draw_feature_maps(torch.rand(2, 1, 8, 8), {"conv": values})),
            size_of(drawing.draw_captioned(values, ["", ""], "")),
            size_of(draw_predictions(values[:, 0, 0], values[:, 0, 0], [str(k) for k in range(8)])),
        ]

    nan_sizes = sizes(torch.full((2, 1, 8, 8), math.nan))
    assert nan_sizes == sizes(torch.rand(2, 1, 8, 8))
    assert all(100 < side < 3600 for size in nan_sizes for side in size)


def test_drawing_does_not_change_global_state() -> None:
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    size_of(drawing.draw_confusion(torch.eye(3, dtype=torch.long), "abc"))
    size_of(drawing.draw_filters(torch.randn(4, 3, 5, 5)))
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
