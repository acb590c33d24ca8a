"""Which layers a network runs, what they hold, and what they put out."""

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

GREY, COLOUR = Image(1, 8, 8), Image(3, 32, 32)
TEN = Classes(tuple("0123456789"))


def ran(model: nn.Module, image: Image, count: int = 3) -> list[layers.Layer]:
    with torch.no_grad():
        return layers.run(model.eval(), torch.randn(count, image.channels, image.height, image.width))


class Convolutions(nn.Module):
    """Many convolutions, made in another order than they are run in."""

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


def test_layers_come_in_the_order_in_which_they_are_run() -> None:
    names = [layer.name for layer in ran(Convolutions(4), COLOUR)]
    assert names == ["early", "blocks.0", "blocks.1", "late"]
    names = [layer.name for layer in ran(LeNet(Spec(GREY, TEN), variant="classic"), GREY)]
    assert names == ["c1.0", "c3.0", "c5.0", "f6.0", "head"]


def test_no_hook_is_left_behind() -> None:
    model = Convolutions(3)
    ran(model, COLOUR)
    with pytest.raises(RuntimeError):
        layers.run(model, torch.randn(1, 7, 8, 8))
    assert not any(module._forward_hooks for module in model.modules())


def test_maps_are_what_the_convolution_put_out_before_the_activation() -> None:
    model, images = Convolutions(3).eval(), torch.randn(2, 3, 8, 8)
    first = layers.run(model, images)[0].maps
    assert first is not None
    assert first.min() < 0  # The activation that works in place came later.
    torch.testing.assert_close(first, model.early(images))


@pytest.mark.parametrize(("variant", "name"), [("modern", "Conv2d"), ("classic", "PartialConv2d")])
def test_both_lenets_have_maps_of_both_convolutions(variant, name) -> None:
    maps = layers.feature_maps(ran(LeNet(Spec(GREY, TEN), variant=variant), GREY))
    assert {key: value.shape for key, value in maps.items()} == {"c1.0": (3, 6, 28, 28), "c3.0": (3, 16, 10, 10)}


@pytest.mark.parametrize(("depth", "wanted"), [(2, [0, 1]), (5, [0, 1, 2, 3, 4]), (9, [0, 2, 4, 6, 8])])
def test_at_most_five_convolutions_are_taken_over_the_whole_depth(depth: int, wanted: list[int]) -> None:
    all_names = ["early", *(f"blocks.{k}" for k in range(depth - 2)), "late"]
    assert list(layers.feature_maps(ran(Convolutions(depth), COLOUR))) == [all_names[k] for k in wanted]
    everything = ran(Convolutions(20), COLOUR)
    assert list(layers.feature_maps(everything, most=1)) == ["early"]
    assert len(layers.feature_maps(everything)) == 5


def test_the_first_filters_are_the_weights() -> None:
    for model, image in ((LeNet(Spec(GREY, TEN)), GREY), (LeNet(Spec(COLOUR, TEN)), COLOUR)):
        kernels = layers.first_filters(ran(model, image), image)
        assert kernels is not None
        assert kernels.shape == (6, image.channels, 5, 5)
        assert torch.equal(kernels, model.c1[0].weight)
    mlp = MLP(Spec(COLOUR, TEN), hidden_sizes=(7,))
    kernels = layers.first_filters(ran(mlp, COLOUR), COLOUR)
    assert kernels is not None
    assert torch.equal(kernels, mlp.hidden[0].weight.view(7, 3, 32, 32))
    linear = Linear(Spec(GREY, TEN), initialization="xavier")
    kernels = layers.first_filters(ran(linear, GREY), GREY)
    assert kernels is not None
    assert torch.equal(kernels, linear.head.weight.view(10, 1, 8, 8))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_recurrent_network_has_no_filters_even_if_its_head_is_as_wide_as_the_image(kind) -> None:
    model = kind(Spec(GREY, TEN), hidden_size=32)
    assert model.head.in_features == GREY.size
    found = ran(model, GREY)
    assert [layer.name for layer in found] == ["recurrence.layers.0", "head"]
    assert layers.first_filters(found, GREY) is None
    assert layers.feature_maps(found) == {}


def test_a_norm_before_the_first_layer_does_not_hide_it() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3))
    kernels = layers.first_filters(ran(model, COLOUR), COLOUR)
    assert kernels is not None
    assert torch.equal(kernels, model[1].weight)


def test_a_model_without_weights_has_no_pictures() -> None:
    found = ran(nn.Flatten(), GREY)
    assert found == []
    assert layers.first_filters(found, GREY) is None
    assert layers.feature_maps(found) == {}


def test_a_compiled_model_shows_its_layers() -> None:
    model = LeNet(Spec(GREY, TEN))
    model.compile(backend="eager")
    model.eval()(torch.randn(3, 1, 8, 8))
    assert [layer.name for layer in ran(model, GREY)] == ["c1.0", "c3.0", "c5.0", "f6.0", "head"]
