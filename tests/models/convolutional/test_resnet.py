"""Residual networks."""

from __future__ import annotations

import pytest
import torch
from lightning import seed_everything
from torch import nn

from primer.errors import InputError
from primer.models.convolutional.resnet import BasicBlock, Bottleneck, PaddingShortcut, ResNet
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))
CIFAR = Spec(Image(3, 32, 32), TEN)
CIFAR_SETTINGS = {"width": 16, "stem": "small", "shortcut": "padding"}
IMAGENET = {
    "resnet18": ({}, 11_689_512),
    "resnet34": ({"layers": [3, 4, 6, 3]}, 21_797_672),
    "resnet50": ({"block": "bottleneck", "layers": [3, 4, 6, 3]}, 25_557_032),
}


@pytest.mark.parametrize("name", IMAGENET)
def test_parameter_count_matches_the_paper_and_torchvision(name: str, parameter_counts) -> None:
    settings, published = IMAGENET[name]
    assert ResNet.torchvision_name(**settings) == name
    assert parameter_counts(ResNet, **settings) == (published, published)


@pytest.mark.parametrize("name", IMAGENET)
def test_outputs_match_torchvision(name: str, outputs_and_torchvision_outputs) -> None:
    ours, theirs = outputs_and_torchvision_outputs(ResNet, **IMAGENET[name][0])
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("num_blocks", "millions"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85)])
def test_parameter_count_of_cifar_networks_matches_the_paper(num_blocks: int, millions: float) -> None:
    network = ResNet(CIFAR, layers=[num_blocks] * 3, **CIFAR_SETTINGS)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    layers_with_weights = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules())
    assert layers_with_weights == 6 * num_blocks + 2


def test_variants_without_torchvision_weights() -> None:
    for settings in ({"width": 16}, {"shortcut": "padding"}, {"normalization": "group"}, {"layers": [1, 1, 1, 1]}):
        assert ResNet.torchvision_name(**settings) is None


def test_the_stem_depends_on_the_image_size() -> None:
    assert ResNet(CIFAR).conv1.stride == (1, 1)
    assert ResNet(Spec(Image(3, 64, 64), TEN)).conv1.stride == (1, 1)
    assert ResNet(Spec(Image(3, 96, 64), TEN)).conv1.stride == (2, 2)


def test_padding_shortcut_subsamples_and_appends_zeros() -> None:
    x = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    y = PaddingShortcut(5, stride=2)(x)
    assert y.shape == (2, 8, 2, 2)
    torch.testing.assert_close(y[:, :3], x[:, :, [0, 2]][..., [0, 2]])
    assert not y[:, 3:].any()


def test_blocks_add_their_input() -> None:
    for block in (
        BasicBlock(8, 8, 1, "projection", "batch", 0.0),
        Bottleneck(32, 8, 1, "projection", "batch", 0.0),
    ):
        last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
        nn.init.zeros_(last.weight)
        x = torch.randn(2, 8 * block.expansion, 5, 5)
        torch.testing.assert_close(block(x), x.relu())


def test_stochastic_depth_skips_blocks_per_sample_in_training_only() -> None:
    seed_everything(0, verbose=False)
    block = BasicBlock(4, 4, 1, "projection", "none", 0.3)
    x = torch.randn(4000, 4, 3, 3)
    plain = block.eval()(x)
    skipped = (block.train()(x) == x.relu()).flatten(1).all(1)
    assert abs(skipped.float().mean() - 0.3) < 0.03
    block.skip.p = 0.0
    torch.testing.assert_close(block(x), plain)


def test_stochastic_depth_increases_linearly_and_is_disabled_in_evaluation() -> None:
    deep = ResNet(CIFAR, layers=[3] * 3, stochastic_depth=0.5, **CIFAR_SETTINGS)
    rates = [block.skip.p for stage in deep.stages for block in stage]
    assert rates == pytest.approx([0.5 * depth / 9 for depth in range(1, 10)])
    plain = ResNet(CIFAR, layers=[3] * 3, **CIFAR_SETTINGS)
    plain.load_state_dict(deep.state_dict())
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(deep.eval()(images), plain.eval()(images))
    assert not torch.equal(deep.train()(images), plain.train()(images))


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32)])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_overfits_one_batch(block, channels: int, side: int, overfit_accuracy) -> None:
    seed_everything(0, verbose=False)
    network = ResNet(Spec(Image(channels, side, side), TEN), block=block, layers=[1, 1, 1], width=8)
    assert overfit_accuracy(network, steps=60, lr=3e-3) == 1.0


def test_invalid_settings_are_errors() -> None:
    for settings, message in (
        ({"layers": []}, "at least one stage"),
        ({"layers": [2, 0]}, r"layers\[1\] must be at least 1, not 0"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must be at least 0 and less than 1, not 1.0"),
        ({"width": 0}, "width must be at least 1, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            ResNet(CIFAR, **settings)
