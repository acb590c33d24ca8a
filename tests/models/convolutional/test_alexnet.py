"""AlexNet."""

from __future__ import annotations

import pytest
import torch
from lightning import seed_everything

from primer.errors import InputError
from primer.models.convolutional.alexnet import STEMS, AlexNet, map_sizes
from primer.models.layers.image_size import stem_for
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))


def test_parameter_count_matches_the_paper_and_torchvision(parameter_counts) -> None:
    assert parameter_counts(AlexNet) == (61_100_840, 61_100_840)


def test_outputs_match_torchvision(outputs_and_torchvision_outputs) -> None:
    ours, theirs = outputs_and_torchvision_outputs(AlexNet)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_map_sizes_match_the_layers() -> None:
    for name, side in (("published", 224), ("published", 65), ("small", 15), ("small", 32), ("small", 61)):
        sizes = map_sizes(side, *STEMS[name])
        network = AlexNet(Spec(Image(1, side, side), TEN), stem=name, hidden_size=8)
        maps, pools = torch.zeros(1, 1, side, side), []
        for layer in network.features:
            maps = layer(maps)
            if isinstance(layer, torch.nn.MaxPool2d):
                pools.append(maps.shape[-1])
        assert pools == [sizes["pool1"], sizes["pool2"], sizes["pool3"]], (name, side)
    assert map_sizes(224, *STEMS["published"]) == {"conv1": 55, "pool1": 27, "pool2": 13, "pool3": 6}


@pytest.mark.parametrize(("stem", "smallest"), [("published", 63), ("small", 15)])
def test_images_that_are_too_small_are_enlarged_or_an_error(stem: str, smallest: int) -> None:
    AlexNet(Spec(Image(1, smallest, smallest), TEN), stem=stem, hidden_size=8, resize=False)  # pyright: ignore[reportArgumentType]
    too_small = Spec(Image(1, 80, smallest - 1), TEN)
    with pytest.raises(
        InputError, match=f"a side of {smallest - 1} pixels is too small for AlexNet.*at least {smallest} pixels"
    ):
        AlexNet(too_small, stem=stem, hidden_size=8, resize=False)  # pyright: ignore[reportArgumentType]
    network = AlexNet(too_small, stem=stem, hidden_size=8)  # pyright: ignore[reportArgumentType]
    assert network(torch.randn(2, 1, 80, smallest - 1)).shape == (2, 10)


def test_the_stem_depends_on_the_image_size() -> None:
    with pytest.raises(InputError, match="stem must be one of auto, small, published, not 'large'"):
        stem_for(Image(3, 64, 64), "large")
    assert AlexNet(Spec(Image(3, 64, 64), TEN), hidden_size=8).features[0].kernel_size == (5, 5)
    assert AlexNet(Spec(Image(3, 64, 65), TEN), hidden_size=8).features[0].kernel_size == (11, 11)


def test_overfits_one_batch(overfit_accuracy) -> None:
    seed_everything(0, verbose=False)
    network = AlexNet(Spec(Image(1, 28, 28), TEN), hidden_size=128)
    assert overfit_accuracy(network, steps=60) == 1.0


def test_invalid_settings_are_errors() -> None:
    spec = Spec(Image(1, 28, 28), TEN)
    for settings, message in (
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, not 1.0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            AlexNet(spec, **settings)
