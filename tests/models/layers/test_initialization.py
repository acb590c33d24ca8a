"""Weight initialization."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.models.layers.initialization import Initialization, initialize
from primer.spec import Classes, Spec, Vector

FAN_IN, FAN_OUT = 300, 500


def initialized(name: str) -> tuple[nn.Linear, nn.BatchNorm1d, nn.Conv2d]:
    torch.manual_seed(0)
    layers = nn.Linear(FAN_IN, FAN_OUT), nn.BatchNorm1d(FAN_OUT), nn.Conv2d(20, 30, 5)
    initialize(nn.Sequential(*layers), name)
    return layers


@pytest.mark.parametrize(
    ("name", "linear", "kernel"),
    [
        ("xavier", 2 / (FAN_IN + FAN_OUT), 2 / (20 * 25 + 30 * 25)),
        ("he", 2 / FAN_IN, 2 / (20 * 25)),
        ("normal", 0.01**2, 0.01**2),
        ("zeros", 0.0, 0.0),
    ],
)
def test_weights_have_the_variance_of_the_method(name: str, linear: float, kernel: float) -> None:
    dense, norm, convolution = initialized(name)
    for layer, variance in ((dense, linear), (convolution, kernel)):
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.03)
        assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.04 * variance**0.5)
        assert layer.bias is not None
        assert not layer.bias.any()
    assert torch.equal(norm.weight, torch.ones(FAN_OUT))
    assert not norm.bias.any()


def test_xavier_is_uniform_and_he_is_normal() -> None:
    xavier, he = initialized("xavier")[0].weight, initialized("he")[0].weight
    assert xavier.abs().max().item() == pytest.approx((6 / (FAN_IN + FAN_OUT)) ** 0.5, rel=1e-3)
    assert he.abs().max() > 3.5 * (2 / FAN_IN) ** 0.5


def test_default_keeps_the_initialization_of_pytorch() -> None:
    torch.manual_seed(0)
    layers = nn.Linear(FAN_IN, FAN_OUT), nn.BatchNorm1d(FAN_OUT), nn.Conv2d(20, 30, 5)
    for actual, expected in zip(initialized("default"), layers, strict=True):
        assert torch.equal(actual.weight, expected.weight)


def test_multidimensional_norm_weights_stay_at_one() -> None:
    for name in get_args(Initialization):
        norm = nn.LayerNorm([2, 3])
        initialize(norm, name)
        assert (norm.weight == 1).all()


def test_recurrent_biases_start_at_zero() -> None:
    lstm = nn.LSTM(3, 4)
    initialize(lstm, "xavier")
    parameters = dict(lstm.named_parameters())
    assert not parameters["bias_ih_l0"].any()
    assert not parameters["bias_hh_l0"].any()
    assert parameters["weight_hh_l0"].any()


@pytest.mark.parametrize("name", get_args(Initialization))
def test_padding_embeddings_stay_at_zero(name: str) -> None:
    padded, plain = nn.Embedding(5, 3, padding_idx=1), nn.Embedding(5, 3)
    initialize(nn.ModuleList([padded, plain]), name)
    assert padded.weight.requires_grad
    assert (padded.weight != 0).any(dim=1).tolist() == [name != "zeros" and row != 1 for row in range(5)]
    assert plain.weight.any(dim=1).all() == (name != "zeros")


def test_unknown_name_is_an_error() -> None:
    with pytest.raises(
        InputError, match="initialization must be one of default, xavier, he, normal, orthogonal, zeros, not 'ones'"
    ):
        initialize(nn.Linear(2, 2), "ones")


@pytest.mark.parametrize("name", ["zeros", "xavier"])
def test_units_initialized_to_zero_stay_identical(name: Initialization) -> None:
    torch.manual_seed(0)
    model = MLP(Spec(Vector(5), Classes(("a", "b"))), hidden_sizes=(8,), activation="sigmoid", initialization=name)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    inputs, targets = torch.randn(32, 5), torch.randint(0, 2, (32,))
    for _ in range(3):
        optimizer.zero_grad()
        model.objective.loss(model(inputs), targets)[0].backward()
        optimizer.step()
    layer = model.hidden[0]
    assert isinstance(layer, nn.Linear)
    assert layer.weight.any()
    identical = torch.allclose(layer.weight, layer.weight[:1].expand_as(layer.weight), atol=1e-7)
    assert identical == (name == "zeros")
