"""Figures of activation functions show their values and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from primer.models.layers.activations import ACTIVATIONS
from primer.reports.activations import draw_activations
from primer.reports.figures import png

DERIVATIVES = {
    "step": lambda x: (np.abs(x) <= 1).astype(float),  # The straight-through estimator, not the true derivative of 0.
    "sigmoid": lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "softmax": lambda x: np.exp(x) / (np.exp(x) + 2) - (np.exp(x) / (np.exp(x) + 2)) ** 2,
    "relu": lambda x: (x > 0).astype(float),
    "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_figure_shows_the_function_and_its_derivative(name: str) -> None:
    function = ACTIVATIONS[name]()
    figure = draw_activations({name: function})
    (axes,) = figure.axes
    value, derivative = axes.lines
    x = np.asarray(value.get_xdata())
    units = torch.tensor([[point, 0.0, 0.0] for point in x.tolist()])
    np.testing.assert_allclose(value.get_ydata(), function(units)[:, 0].numpy(), atol=1e-6)
    np.testing.assert_allclose(derivative.get_ydata(), DERIVATIVES[name](x), atol=1e-5)
    texts = axes.get_legend().get_texts()  # pyright: ignore[reportOptionalMemberAccess]
    assert [text.get_text() for text in texts] == [name.replace("_", " "), "derivative"]
    assert png(figure).startswith(b"\x89PNG")


def test_there_is_a_panel_for_each_function() -> None:
    with torch.inference_mode():  # As at the end of a test.
        figure = draw_activations({"tanh": nn.Tanh(), "relu": nn.ReLU()})
    assert len(figure.axes) == 2
