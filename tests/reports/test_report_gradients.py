"""Figures of gradient norms."""

from __future__ import annotations

import math

import pytest

from primer.reports.figures import png
from primer.reports.gradients import draw_gradients, positive, spread


def test_both_panels_have_curves_on_logarithmic_axes() -> None:
    layers = {"recurrence": [(0, 1.0), (10, 0.1)], "head_$1$": [(0, 2.0), (10, 0.0)]}
    distances = {step: [1.0, 0.1, 0.0] for step in range(10, 110, 10)}
    figure = draw_gradients(layers, distances)
    left, right = figure.axes
    assert [line.get_xdata().tolist() for line in left.lines] == [[0, 10], [0, 10]]  # type: ignore[union-attr]
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.1]  # type: ignore[union-attr]
    assert [line.get_label() for line in left.lines] == ["recurrence", "head_$1$"]
    assert [line.get_label() for line in right.lines] == [f"up to step {k}" for k in (10, 30, 50, 60, 80, 100)]
    assert left.get_yscale() == right.get_yscale() == "log"
    assert png(figure).startswith(b"\x89PNG")


def test_network_without_recurrence_has_one_panel_and_at_most_12_named_layers() -> None:
    figure = draw_gradients({f"layer {k}": [(0, 1.0 + k)] for k in range(40)}, {})
    (axes,) = figure.axes
    named = [line.get_label() for line in axes.lines if not str(line.get_label()).startswith("_")]
    assert len(axes.lines) == 40
    assert len(named) == 12
    assert {"layer 0", "layer 39"} <= set(named)


def test_values_without_a_logarithm_are_omitted() -> None:
    shown = positive([1.0, 0.0, math.inf, math.nan])
    assert shown[0] == 1.0
    assert all(math.isnan(value) for value in shown[1:])
    png(draw_gradients({"a": [(0, 0.0), (1, math.nan)]}, {5: [0.0, 0.0]}))


@pytest.mark.parametrize(("count", "most"), [(3, 6), (7, 6), (100, 12)])
def test_spread_includes_both_ends(count: int, most: int) -> None:
    items = spread(list(range(count)), most)
    assert len(items) == len(set(items)) == min(count, most)
    assert (items[0], items[-1]) == (0, count - 1)
