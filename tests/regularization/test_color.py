"""Brightness, contrast, saturation and hue."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers.augmentation import assert_uniform, augment
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from primer.regularization import ColorJitter
from primer.regularization.augmentation.color import YIQ, recolor


def recolor_image(image: Tensor, **values: float) -> Tensor:
    """Recolors one image, given some of the factors and the angle."""
    settings = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "angle": 0.0} | values
    return recolor(image.unsqueeze(0), **{name: torch.tensor([value]) for name, value in settings.items()})[0]


def chroma(color: Tensor) -> Tensor:
    """Returns the chroma as a complex number."""
    _, i, q = (color.double() @ YIQ.T).unbind(-1)
    return torch.complex(i, q)


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_are_uniformly_distributed(channels: int) -> None:
    inputs = torch.tensor([0.45, 0.55]).expand(800, channels, 2, 2)
    augmented = augment(ColorJitter(0.4, 0.3, 0, 0), inputs)
    brightness = augmented.mean((1, 2, 3)) / 0.5
    contrast = (augmented[:, 0, 0, 1] - augmented[:, 0, 0, 0]) / 0.1 / brightness
    assert_uniform(brightness, 0.6, 1.4)
    assert_uniform(contrast, 0.7, 1.3)
    assert torch.corrcoef(torch.stack([brightness, contrast]))[0, 1].abs() < 0.12


def test_saturation_and_hue_are_uniformly_distributed() -> None:
    color = torch.tensor([0.5, 0.4, 0.45])
    augmented = augment(ColorJitter(0, 0, 0.5, 0.1), color.view(1, 3, 1, 1).expand(800, 3, 2, 2))[:, :, 0, 0]
    ratio = chroma(augmented) / chroma(color)
    assert_uniform(ratio.abs(), 0.5, 1.5)
    assert_uniform(ratio.angle() / (2 * math.pi), -0.1, 0.1)


@pytest.mark.parametrize(
    ("name", "function"),
    [("brightness", tv.adjust_brightness), ("contrast", tv.adjust_contrast), ("saturation", tv.adjust_saturation)],
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_adjustment_matches_torchvision(name: str, function: Any, factor: float, channels: int) -> None:
    image = torch.rand(channels, 8, 8)
    assert torch.allclose(recolor_image(image, **{name: factor}), function(image, factor), atol=1e-3)


def test_combined_adjustments_match_torchvision() -> None:
    image = 0.3 + 0.4 * torch.rand(3, 8, 8)  # Far enough from 0 and 1 to avoid clipping.
    expected = tv.adjust_saturation(tv.adjust_contrast(tv.adjust_brightness(image, 1.1), 0.7), 1.2)
    assert torch.allclose(recolor_image(image, brightness=1.1, contrast=0.7, saturation=1.2), expected, atol=1e-3)


def test_hue_rotation() -> None:
    image = 0.4 + 0.2 * torch.rand(3, 8, 8)
    rotated = recolor_image(image, angle=1.0)
    assert not torch.allclose(rotated, image, atol=0.01)
    luma = YIQ[0].float()
    assert torch.allclose(torch.tensordot(luma, rotated, 1), torch.tensordot(luma, image, 1), atol=1e-5)
    assert torch.allclose(recolor_image(rotated, angle=-1.0), image, atol=1e-5)
    assert torch.allclose(recolor_image(image, angle=2 * math.pi), image, atol=1e-5)
    before, after = (chroma(pixels.flatten(1).T) for pixels in (image, rotated))
    assert torch.allclose(after / before, torch.polar(torch.ones(64), torch.ones(64)).to(after), atol=1e-3)
    gray = torch.rand(1, 8, 8).expand(3, 8, 8)
    assert torch.allclose(recolor_image(gray, angle=2.0, saturation=1.7), gray, atol=1e-5)


def test_values_are_clipped() -> None:
    image = torch.tensor([0.0, 0.5, 1.0]).expand(3, 1, 3)
    assert torch.allclose(recolor_image(image, brightness=2.0)[0, 0], torch.tensor([0.0, 1.0, 1.0]))
    assert torch.allclose(recolor_image(image, contrast=2.0)[0, 0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-6)


def test_images_with_other_channels_ignore_saturation_and_hue() -> None:
    image = 0.4 + 0.2 * torch.rand(4, 3, 3)
    augmented = recolor_image(image, brightness=1.2, contrast=0.5, saturation=0.0, angle=2.0)
    assert torch.allclose(augmented, 0.6 * image + 0.6 * image.mean(), atol=1e-6)
