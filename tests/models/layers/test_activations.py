"""Activation functions."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from primer.errors import InputError
from primer.models.layers.activations import ACTIVATIONS, Activation, BinaryStep, activation_layer

X = torch.linspace(-3, 3, 13).view(1, -1)
FORMULAS = {
    "step": (X > 0).float(),
    "sigmoid": 1 / (1 + torch.exp(-X)),
    "tanh": (torch.exp(X) - torch.exp(-X)) / (torch.exp(X) + torch.exp(-X)),
    "softmax": torch.exp(X) / torch.exp(X).sum(),
    "relu": X.clamp(min=0),
    "leaky_relu": torch.where(X > 0, X, 0.01 * X),
    "gelu": X * (1 + torch.erf(X / 2**0.5)) / 2,
    "identity": X,
}


def test_names_and_layers_match() -> None:
    assert set(get_args(Activation)) == set(ACTIVATIONS) == set(FORMULAS)


@pytest.mark.parametrize("name", get_args(Activation))
def test_activations_equal_their_formulas(name: str) -> None:
    assert torch.allclose(activation_layer(name)(X), FORMULAS[name], atol=1e-6)


def test_binary_step_is_exactly_0_or_1() -> None:
    assert set(BinaryStep()(torch.linspace(-2, 2, 1001)).tolist()) == {0.0, 1.0}


def test_softmax_normalizes_over_features_and_channels() -> None:
    rows, images = torch.rand(4, 5), torch.rand(4, 5, 3, 2)
    assert torch.allclose(activation_layer("softmax")(rows).sum(1), torch.ones(4))
    assert torch.allclose(activation_layer("softmax")(images).sum(1), torch.ones(4, 3, 2))


def test_binary_step_uses_the_straight_through_gradient() -> None:
    x = torch.tensor([-2.0, -1.1, -0.9, 0.0, 0.9, 1.1, 2.0], requires_grad=True)
    y = BinaryStep()(x)
    assert y.tolist() == [0, 0, 0, 0, 1, 1, 1]
    (y * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 0, 0]


def test_a_binary_step_unit_learns_the_and_function() -> None:
    torch.manual_seed(0)
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    network = nn.Sequential(nn.Linear(2, 1), BinaryStep())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
    assert torch.equal(network(inputs), targets)


def test_unknown_activation_is_an_error() -> None:
    with pytest.raises(InputError, match=r"activation must be one of step, sigmoid, .*, not 'swish'"):
        activation_layer("swish")
