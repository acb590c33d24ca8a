"""Draws activation functions and their derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from primer.reports.figures import TRAIN, VALIDATION, add_legend, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANGE, POINTS = 5.0, 401
"""Functions are drawn from -RANGE to RANGE, at POINTS points."""

MAX_FUNCTIONS = 4
"""The maximum number of functions drawn."""


def draw_activations(functions: Mapping[str, nn.Module]) -> Figure:
    """Draws activation functions, keyed by name, and the derivatives by which they multiply gradients in training."""
    shown = list(functions.items())[:MAX_FUNCTIONS]
    figure = new_figure(5.2 * len(shown), 4.2, layout="constrained")
    for k, (name, function) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), k + 1)
        x, value, derivative = evaluate(function)
        axes.plot(x.numpy(), value.numpy(), label=name.replace("_", " "), color=TRAIN, linewidth=1.8)
        axes.plot(x.numpy(), derivative.numpy(), label="derivative", color=VALIDATION, linewidth=1.8, linestyle="--")
        # Of the units over which softmax is taken, one varies.
        inputs = "x, with two other units at 0" if isinstance(function, nn.Softmax) else "x"
        label_axes(axes, inputs, "value")
        add_legend(axes)
    return figure


def evaluate(function: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Returns points, the values of an activation function there, and its derivatives as training computes them."""
    with torch.inference_mode(False), torch.enable_grad():  # Tests run in inference mode.
        x = torch.linspace(-RANGE, RANGE, POINTS, dtype=torch.float32, requires_grad=True)
        units = torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)], dim=1)
        value = function(units)[:, 0]
        (derivative,) = torch.autograd.grad(value.sum(), x)
    return x.detach(), value.detach(), derivative
