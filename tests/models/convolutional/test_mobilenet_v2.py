"""MobileNetV2."""

from __future__ import annotations

import pytest
import torch
import torchvision
from lightning import seed_everything

from primer.errors import InputError
from primer.models.convolutional.mobilenet_v2 import STAGES, InvertedResidual, MobileNetV2
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))
CIFAR = Spec(Image(3, 32, 32), TEN)


def test_parameter_count_matches_the_paper_and_torchvision(parameter_counts) -> None:
    assert parameter_counts(MobileNetV2) == (3_504_872, 3_504_872)


@pytest.mark.parametrize("multiplier", [0.35, 0.5, 0.75, 1.4])
def test_parameter_count_with_a_width_multiplier_matches_torchvision(multiplier: float) -> None:
    with torch.device("meta"):
        ours = MobileNetV2(Spec(Image(3, 224, 224), Classes(tuple(map(str, range(1000))))), multiplier)
        theirs = torchvision.models.mobilenet_v2(width_mult=multiplier)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert MobileNetV2.torchvision_name(width_multiplier=multiplier) is None


def test_outputs_match_torchvision(outputs_and_torchvision_outputs) -> None:
    ours, theirs = outputs_and_torchvision_outputs(MobileNetV2)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_small_images_are_downsampled_by_8_and_large_ones_by_32() -> None:
    assert MobileNetV2(CIFAR, 0.35).features(torch.randn(1, 3, 32, 32)).shape[-2:] == (4, 4)
    large = MobileNetV2(Spec(Image(3, 96, 96), TEN), 0.35)
    assert large.features(torch.randn(1, 3, 96, 96)).shape[-2:] == (3, 3)


def test_only_blocks_that_preserve_the_shape_have_a_shortcut() -> None:
    blocks = [layer for layer in MobileNetV2(CIFAR).features if isinstance(layer, InvertedResidual)]
    expected = [index > 0 for _, _, count, _ in STAGES for index in range(count)]
    assert [block.residual for block in blocks] == expected
    x = torch.randn(2, 24, 5, 5)
    torch.testing.assert_close(blocks[2].eval()(x), x + blocks[2].conv(x))


def test_stochastic_depth_is_disabled_in_evaluation() -> None:
    deep, plain = MobileNetV2(CIFAR, 0.35, stochastic_depth=0.5), MobileNetV2(CIFAR, 0.35)
    plain.load_state_dict(deep.state_dict())
    images = torch.randn(8, 3, 32, 32)
    assert torch.equal(deep.eval()(images), plain.eval()(images))
    assert not torch.equal(deep.train()(images), plain.train()(images))


def test_overfits_one_batch(overfit_accuracy) -> None:
    seed_everything(0, verbose=False)
    assert overfit_accuracy(MobileNetV2(Spec(Image(1, 28, 28), TEN), 0.35), steps=60) == 1.0


def test_invalid_settings_are_errors() -> None:
    for settings, message in (
        ({"width_multiplier": 0.0}, "width_multiplier must be more than 0, not 0.0"),
        ({"stochastic_depth": -0.1}, "stochastic_depth must be at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            MobileNetV2(CIFAR, **settings)
