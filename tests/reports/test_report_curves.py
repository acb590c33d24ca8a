"""Learning curves are those of metrics.csv, with the best epoch marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from primer.reports.curves import draw_curves, find_best_epoch, read_history
from primer.reports.figures import png

ROWS = """epoch,step,val/loss,val/accuracy,train/loss,lr
0,10,1.5,0.5,1.8,0.1
1,20,0.9,0.75,1.0,0.01
2,30,,,0.5,0.001
3,40,1.2,0.7,nan,0.0001
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "metrics.csv").write_text(ROWS)
    return tmp_path / "metrics.csv"


def lines(axes) -> dict[str, list[list[float]]]:
    return {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.get_lines()}


def test_history_leaves_out_missing_values(file) -> None:
    history = read_history(file)
    assert history["val/loss"] == [(1, 1.5), (2, 0.9), (4, 1.2)]
    assert history["train/loss"] == [(1, 1.8), (2, 1.0), (3, 0.5)]
    assert "epoch" not in history
    assert "step" not in history


def test_curves_show_losses_metric_learning_rate_and_best_epoch(file) -> None:
    history = read_history(file)
    figure = draw_curves(history, "val/accuracy", "max")
    loss, metric, rate = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}
    assert lines(loss)["training"] == [list(point) for point in history["train/loss"]]
    assert lines(loss)["validation"] == [list(point) for point in history["val/loss"]]
    assert lines(metric)["validation"] == [list(point) for point in history["val/accuracy"]]
    assert rate.get_yscale() == "log"
    for axes in figure.axes:
        assert lines(axes)["best epoch: 2"] == [[2, 0], [2, 1]]


def test_legends_are_outside_of_the_axes(file) -> None:
    figure = draw_curves(read_history(file), "val/loss", "min")
    assert len(png(figure)) > 5000
    for axes in figure.axes:
        legend, plot = (artist.get_window_extent() for artist in (axes.get_legend(), axes))
        assert legend.y0 >= plot.y1


def test_loss_selects_the_metric_that_is_drawn_beside_it(file) -> None:
    assert draw_curves(read_history(file), "val/loss", "min").axes[1].get_ylabel() == "accuracy"


def test_the_losses_of_a_generator_and_a_discriminator_share_a_panel() -> None:
    names = ("val/loss", "train/generator", "train/discriminator", "val/fid")
    figure = draw_curves({name: [(1, 2.0 + k), (2, 1.0)] for k, name in enumerate(names)})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "training loss", "fid"]
    assert lines(figure.axes[1]) == {"discriminator": [[1, 4], [2, 1]], "generator": [[1, 3], [2, 1]]}


def test_best_epoch() -> None:
    history = {"val/f1": [(1, 0.5), (2, 0.7), (3, 0.7)]}
    assert find_best_epoch(history, "val/f1", "max") == 2
    assert find_best_epoch(history, "val/f1", "min") == 1
    assert find_best_epoch(history, None, None) is None
    assert find_best_epoch(history, "val/loss", "min") is None


def test_one_epoch_and_no_validation(tmp_path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,train/loss\n0,3,2.0\n")
    (axes,) = draw_curves(read_history(tmp_path / "metrics.csv")).axes
    assert lines(axes) == {"training": [[1.0, 2.0]]}
