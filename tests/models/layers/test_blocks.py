"""Activations and normalisations by name."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from primer.errors import InputError
from primer.models.layers.blocks import (
    ACTIVATIONS,
    Activation,
    Normalization,
    Step,
    activation_layer,
    check_rate,
    check_sizes,
    normalization_layer,
)

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


def test_every_name_has_a_layer_and_every_layer_a_name() -> None:
    assert set(get_args(Activation)) == set(ACTIVATIONS) == set(FORMULAS)


@pytest.mark.parametrize("name", get_args(Activation))
def test_activations_are_their_formulas(name: str) -> None:
    assert torch.allclose(activation_layer(name)(X), FORMULAS[name], atol=1e-6)


def test_a_step_is_exactly_0_or_1() -> None:
    assert set(Step()(torch.linspace(-2, 2, 1001)).tolist()) == {0.0, 1.0}


def test_softmax_is_over_features_and_channels() -> None:
    rows, images = torch.rand(4, 5), torch.rand(4, 5, 3, 2)
    assert torch.allclose(activation_layer("softmax")(rows).sum(1), torch.ones(4))
    assert torch.allclose(activation_layer("softmax")(images).sum(1), torch.ones(4, 3, 2))


def test_the_gradient_of_a_step_goes_straight_through() -> None:
    x = torch.tensor([-2.0, -1.1, -0.9, 0.0, 0.9, 1.1, 2.0], requires_grad=True)
    y = Step()(x)
    assert y.tolist() == [0, 0, 0, 0, 1, 1, 1]
    (y * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 3, 4, 5, 0, 0]


def test_a_network_of_steps_learns_and() -> None:
    torch.manual_seed(0)
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    network = nn.Sequential(nn.Linear(2, 1), Step())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
    assert torch.equal(network(inputs), targets)


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("name", get_args(Normalization))
def test_normalisations_have_mean_0_and_deviation_1(name: str, image: bool) -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(64, 16, *((6, 6) if image else ()))
    y = normalization_layer(name, 16, image)(x)
    assert y.shape == x.shape
    if name == "none":
        assert torch.equal(x, y)
        return
    if name == "batch":
        axes = [axis for axis in range(y.ndim) if axis != 1]
    elif name == "layer":
        axes = list(range(1, y.ndim))
    else:
        y = y.view(64, 2, 8, -1)
        axes = [2, 3]
    assert torch.allclose(y.mean(axes), torch.zeros(()), atol=1e-4)
    assert torch.allclose(y.std(axes, correction=0), torch.ones(()), atol=1e-3)


@pytest.mark.parametrize(("features", "groups"), [(1, 1), (7, 1), (16, 2), (64, 8), (20, 2), (512, 32), (1000, 25)])
def test_groups(features: int, groups: int) -> None:
    layer = normalization_layer("group", features)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match=r"activation must be one of step, sigmoid, .*, not 'swish'"):
        activation_layer("swish")
    with pytest.raises(InputError, match="normalization must be one of none, batch, layer, group, not 'spectral'"):
        normalization_layer("spectral", 3)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0, float("nan")])
def test_rates_outside_of_0_to_1_are_refused(rate: float) -> None:
    assert check_rate("dropout", 0.0) == 0.0
    assert check_rate("dropout", 0.99) == 0.99
    with pytest.raises(InputError, match="dropout must be at least 0 and less than 1, not"):
        check_rate("dropout", rate)


def test_sizes_under_1_are_refused() -> None:
    check_sizes(hidden_size=1, layers=5)
    with pytest.raises(InputError, match="layers must be at least 1, not 0"):
        check_sizes(hidden_size=1, layers=0)
