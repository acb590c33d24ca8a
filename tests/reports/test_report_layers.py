"""The layers that a network runs, their weights and their outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from primer.models.convolutional.lenet import LeNet
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.reports import layers
from primer.spec import Classes, Image, Spec

GRAY, COLOR = Image(1, 8, 8), Image(3, 32, 32)
TEN = Classes(tuple("0123456789"))


def run(model: nn.Module, image: Image, count: int = 3) -> list[layers.Layer]:
    with torch.no_grad():
        return layers.run(model.eval(), torch.randn(count, image.channels, image.height, image.width))


class Convolutions(nn.Module):
    """Convolutions that are created in a different order than they are run in."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.late = nn.Conv2d(4, 4, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth - 2))
        self.early = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.early(x))
        for block in self.blocks:
            x = torch.relu_(block(x))
        return self.late(x)


def test_layers_are_in_execution_order() -> None:
    names = [layer.name for layer in run(Convolutions(4), COLOR)]
    assert names == ["early", "blocks.0", "blocks.1", "late"]
    names = [layer.name for layer in run(LeNet(Spec(GRAY, TEN), variant="classic"), GRAY)]
    assert names == ["c1.0", "c3.0", "c5.0", "f6.0", "head"]


def test_hooks_are_removed() -> None:
    model = Convolutions(3)
    run(model, COLOR)
    with pytest.raises(RuntimeError):
        layers.run(model, torch.randn(1, 7, 8, 8))
    assert not any(module._forward_hooks for module in model.modules())


def test_maps_are_convolution_outputs_before_the_activation() -> None:
    model, images = Convolutions(3).eval(), torch.randn(2, 3, 8, 8)
    first = layers.run(model, images)[0].maps
    assert first is not None
    assert first.min() < 0  # Not affected by the in-place activation.
    torch.testing.assert_close(first, model.early(images))


@pytest.mark.parametrize("variant", ["modern", "classic"])  # The latter has a custom convolution.
def test_lenet_variants_have_maps_of_both_convolutions(variant) -> None:
    maps = layers.feature_maps(run(LeNet(Spec(GRAY, TEN), variant=variant), GRAY))
    assert {key: value.shape for key, value in maps.items()} == {"c1.0": (3, 6, 28, 28), "c3.0": (3, 16, 10, 10)}


@pytest.mark.parametrize(("depth", "expected"), [(2, [0, 1]), (5, [0, 1, 2, 3, 4]), (9, [0, 2, 4, 6, 8])])
def test_at_most_five_convolutions_are_spread_over_the_depth(depth: int, expected: list[int]) -> None:
    all_names = ["early", *(f"blocks.{k}" for k in range(depth - 2)), "late"]
    assert list(layers.feature_maps(run(Convolutions(depth), COLOR))) == [all_names[k] for k in expected]
    deep = run(Convolutions(20), COLOR)
    assert list(layers.feature_maps(deep, most=1)) == ["early"]
    assert len(layers.feature_maps(deep)) == 5


def test_first_filters_are_the_weights_of_the_first_layer() -> None:
    for model, image in ((LeNet(Spec(GRAY, TEN)), GRAY), (LeNet(Spec(COLOR, TEN)), COLOR)):
        kernels = layers.first_filters(run(model, image), image)
        assert kernels is not None
        assert kernels.shape == (6, image.channels, 5, 5)
        assert torch.equal(kernels, model.c1[0].weight)
    mlp = MLP(Spec(COLOR, TEN), hidden_sizes=(7,))
    kernels = layers.first_filters(run(mlp, COLOR), COLOR)
    assert kernels is not None
    assert torch.equal(kernels, mlp.hidden[0].weight.view(7, 3, 32, 32))
    linear = Linear(Spec(GRAY, TEN), initialization="xavier")
    kernels = layers.first_filters(run(linear, GRAY), GRAY)
    assert kernels is not None
    assert torch.equal(kernels, linear.head.weight.view(10, 1, 8, 8))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_recurrent_network_has_no_filters_even_if_its_head_is_as_wide_as_the_image(kind) -> None:
    model = kind(Spec(GRAY, TEN), hidden_size=32)
    assert model.head.in_features == GRAY.size
    recorded = run(model, GRAY)
    assert [layer.name for layer in recorded] == ["recurrence.layers.0", "head"]
    assert layers.first_filters(recorded, GRAY) is None
    assert layers.feature_maps(recorded) == {}


def test_norm_before_the_first_layer_is_skipped() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3))
    kernels = layers.first_filters(run(model, COLOR), COLOR)
    assert kernels is not None
    assert torch.equal(kernels, model[1].weight)


def test_model_without_weights_has_no_layers() -> None:
    recorded = run(nn.Flatten(), GRAY)
    assert recorded == []
    assert layers.first_filters(recorded, GRAY) is None
    assert layers.feature_maps(recorded) == {}


def test_compiled_model_has_the_same_layers() -> None:
    model = LeNet(Spec(GRAY, TEN))
    model.compile(backend="eager")
    model.eval()(torch.randn(3, 1, 8, 8))
    assert [layer.name for layer in run(model, GRAY)] == ["c1.0", "c3.0", "c5.0", "f6.0", "head"]
