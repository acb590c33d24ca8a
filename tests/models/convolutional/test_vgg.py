"""VGG."""

from __future__ import annotations

import pytest
import torch
from lightning import seed_everything
from torch import nn

from primer.errors import InputError
from primer.models.convolutional.vgg import VGG, map_sizes
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))
PUBLISHED = {
    (11, "none"): 132_863_336,
    (13, "none"): 133_047_848,
    (16, "none"): 138_357_544,
    (19, "none"): 143_667_240,
    (11, "batch"): 132_868_840,
    (13, "batch"): 133_053_736,
    (16, "batch"): 138_365_992,
    (19, "batch"): 143_678_248,
}


@pytest.mark.parametrize(("depth", "normalization"), PUBLISHED)
def test_parameter_count_matches_the_paper_and_torchvision(depth, normalization, parameter_counts) -> None:
    counts = parameter_counts(VGG, depth=depth, normalization=normalization)
    assert counts == (PUBLISHED[depth, normalization],) * 2


@pytest.mark.parametrize(("depth", "normalization"), [(11, "none"), (13, "none"), (16, "batch"), (19, "none")])
def test_outputs_match_torchvision(depth, normalization, outputs_and_torchvision_outputs) -> None:
    ours, theirs = outputs_and_torchvision_outputs(VGG, depth=depth, normalization=normalization)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_depth_is_the_number_of_layers_with_weights(depth) -> None:
    with torch.device("meta"):
        network = VGG(Spec(Image(3, 32, 32), TEN), depth=depth, normalization="batch")
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == depth


def test_map_sizes_are_halved_five_times() -> None:
    assert map_sizes(224)["pool5"] == 7
    assert map_sizes(32) == {"pool1": 16, "pool2": 8, "pool3": 4, "pool4": 2, "pool5": 1}
    assert map_sizes(31)["pool5"] == 0


def test_images_that_are_too_small_are_padded_enlarged_or_an_error() -> None:
    for side in (31, 8):
        spec = Spec(Image(1, side, 40), TEN)
        with pytest.raises(
            InputError, match=f"a side of {side} pixels is too small for VGG.*pool5 0; use at least 32 pixels"
        ):
            VGG(spec, depth=11, hidden_size=8, resize=False)
        assert VGG(spec, depth=11, hidden_size=8)(torch.randn(2, 1, side, 40)).shape == (2, 10)


def test_overfits_one_batch(overfit_accuracy) -> None:
    seed_everything(0, verbose=False)
    spec = Spec(Image(1, 28, 28), TEN)
    assert overfit_accuracy(VGG(spec, depth=11, normalization="batch", hidden_size=128)) == 1.0


def test_invalid_settings_are_errors() -> None:
    spec = Spec(Image(1, 28, 28), TEN)
    for settings, message in (
        ({"dropout": -0.1}, "dropout must be at least 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            VGG(spec, **settings)
