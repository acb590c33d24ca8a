"""Residual networks."""

from __future__ import annotations

import pytest
import torch
from lightning import seed_everything
from torch import nn

from primer.models.convolutional.resnet import BasicBlock, Bottleneck, PaddingShortcut, ResNet
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))
CIFAR = Spec(Image(3, 32, 32), TEN)
FAMILY = {"width": 16, "stem": "small", "shortcut": "padding"}
IMAGENET = {
    "resnet18": ({}, 11_689_512),
    "resnet34": ({"layers": [3, 4, 6, 3]}, 21_797_672),
    "resnet50": ({"block": "bottleneck", "layers": [3, 4, 6, 3]}, 25_557_032),
}


@pytest.mark.parametrize("name", IMAGENET)
def test_parameters_are_the_published_ones(name: str, parameter_counts) -> None:
    settings, published = IMAGENET[name]
    assert ResNet.torchvision_name(**settings) == name
    assert parameter_counts(ResNet, **settings) == (published, published)


@pytest.mark.parametrize("name", IMAGENET)
def test_outputs_are_torchvisions(name: str, outputs_beside_torchvision) -> None:
    ours, theirs = outputs_beside_torchvision(ResNet, **IMAGENET[name][0])
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("blocks", "millions"), [(3, 0.27), (5, 0.46), (7, 0.66), (9, 0.85)])
def test_the_family_for_cifar_is_as_large_as_published(blocks: int, millions: float) -> None:
    network = ResNet(CIFAR, layers=[blocks] * 3, **FAMILY)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    weighted = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules())
    assert weighted == 6 * blocks + 2


def test_other_networks_have_no_weights_in_torchvision() -> None:
    for settings in ({"width": 16}, {"shortcut": "padding"}, {"normalization": "group"}, {"layers": [1, 1, 1, 1]}):
        assert ResNet.torchvision_name(**settings) is None


def test_the_stem_follows_the_size() -> None:
    assert ResNet(CIFAR).conv1.stride == (1, 1)
    assert ResNet(Spec(Image(3, 64, 64), TEN)).conv1.stride == (1, 1)
    assert ResNet(Spec(Image(3, 96, 64), TEN)).conv1.stride == (2, 2)


def test_the_padding_shortcut_takes_every_second_pixel_and_adds_zeros() -> None:
    x = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    y = PaddingShortcut(5, stride=2)(x)
    assert y.shape == (2, 8, 2, 2)
    torch.testing.assert_close(y[:, :3], x[:, :, [0, 2]][..., [0, 2]])
    assert not y[:, 3:].any()


def test_a_block_adds_its_input() -> None:
    for block in (
        BasicBlock(8, 8, 1, "projection", "batch", 0.0),
        Bottleneck(32, 8, 1, "projection", "batch", 0.0),
    ):
        last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
        nn.init.zeros_(last.weight)
        x = torch.randn(2, 8 * block.expansion, 5, 5)
        torch.testing.assert_close(block(x), x.relu())


def test_stochastic_depth_skips_whole_blocks_of_single_samples_in_training_alone() -> None:
    seed_everything(0, verbose=False)
    block = BasicBlock(4, 4, 1, "projection", "none", 0.3)
    x = torch.randn(4000, 4, 3, 3)
    plain = block.eval()(x)
    skipped = (block.train()(x) == x.relu()).flatten(1).all(1)
    assert abs(skipped.float().mean() - 0.3) < 0.03
    block.skip.p = 0.0
    torch.testing.assert_close(block(x), plain)


def test_stochastic_depth_grows_linearly_and_is_the_identity_at_evaluation() -> None:
    deep = ResNet(CIFAR, layers=[3] * 3, stochastic_depth=0.5, **FAMILY)
    rates = [block.skip.p for stage in deep.stages for block in stage]
    assert rates == pytest.approx([0.5 * place / 9 for place in range(1, 10)])
    plain = ResNet(CIFAR, layers=[3] * 3, **FAMILY)
    plain.load_state_dict(deep.state_dict())
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(deep.eval()(images), plain.eval()(images))
    assert not torch.equal(deep.train()(images), plain.train()(images))


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (1, 28), (3, 32)])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_it_overfits_a_batch(block, channels: int, side: int, overfits) -> None:
    seed_everything(0, verbose=False)
    network = ResNet(Spec(Image(channels, side, side), TEN), block=block, layers=[1, 1, 1], width=8)
    assert overfits(network, steps=60, lr=3e-3) == 1.0


def test_bad_settings_are_refused() -> None:
    for settings, message in (
        ({"layers": []}, "at least one stage"),
        ({"layers": [2, 0]}, r"layers\[1\] must be at least 1, not 0"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must be at least 0 and less than 1, not 1.0"),
        ({"width": 0}, "width must be at least 1, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ResNet(CIFAR, **settings)
