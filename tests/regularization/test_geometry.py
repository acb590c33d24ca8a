"""Flip, shift, rotation and scale."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from helpers.augmentation import assert_even, assert_uniform, augment, images
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import affine

from primer.regularization import Flip, Rotate, Shift
from primer.regularization.augmentation.geometry import rotate


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_images_are_flipped_with_the_given_probability(probability: float) -> None:
    inputs = images()
    made = augment(Flip(probability), inputs)
    mirrored = (made == inputs.flip(-1)).flatten(1).all(1)
    plain = (made == inputs).flatten(1).all(1)
    assert (mirrored ^ plain).all()
    assert mirrored.float().mean().item() == pytest.approx(probability, abs=0.06)


def displacement(image: Tensor, original: Tensor, most: int) -> tuple[int, int]:
    """By how many rows and columns an image was moved. Fails where it was not merely moved."""
    height, width = original.shape[1:]
    padded = F.pad(original, (most,) * 4)
    for row in range(2 * most + 1):
        for column in range(2 * most + 1):
            if torch.equal(padded[:, row : row + height, column : column + width], image):
                return row - most, column - most
    raise AssertionError("the image was not merely moved")


@pytest.mark.parametrize(("dtype", "channels"), [(torch.uint8, 3), (torch.float32, 1)])
def test_shifts_are_independent_and_uniformly_distributed(dtype: torch.dtype, channels: int) -> None:
    inputs = images(dtype=dtype, channels=channels)
    moves = Counter(displacement(image, inputs[0], 1) for image in augment(Shift(1), inputs))
    assert_even(list(moves.values()), 9, chi_square=26.1)  # 8 degrees of freedom: one in a thousand.


def test_shifted_images_are_filled_with_black() -> None:
    inputs = images(50, torch.uint8)
    for image in augment(Shift(3), inputs):
        row, column = displacement(image, inputs[0], 3)
        seen = (5 - abs(row)) * (6 - abs(column))
        assert int((image[0] > 0).sum()) == seen


def test_shifts_may_be_larger_than_the_image() -> None:
    made = augment(Shift(9), images(200, torch.uint8))
    assert any(not image.any() for image in made)
    assert any(image.any() for image in made)


@pytest.mark.parametrize("step", [Shift(2), Rotate(40)])
def test_channels_move_together(step: Shift | Rotate) -> None:
    made = augment(step, torch.rand(30, 1, 6, 6).expand(30, 3, 6, 6))
    assert torch.equal(made[:, 0], made[:, 1])
    assert torch.equal(made[:, 0], made[:, 2])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_angles_and_factors_are_uniformly_distributed(height: int, width: int) -> None:
    # Of a slope along the columns, the slopes along both axes after a rotation tell its cosine and sine.
    slope = (torch.arange(width) / width).expand(1200, 1, height, width).contiguous()
    made = augment(Rotate(30, (0.8, 1.3)), slope)[:, 0] * width
    row, column = height // 2, width // 2
    cos = made[:, row, column + 1] - made[:, row, column]
    sin = made[:, row + 1, column] - made[:, row, column]
    angles, factors = torch.atan2(sin, cos) * 180 / math.pi, 1 / torch.hypot(sin, cos)
    assert_uniform(angles.clamp(-30, 30), -30, 30)
    assert_uniform(factors.clamp(0.8, 1.3), 0.8, 1.3)
    assert angles.abs().max() < 30.1
    assert torch.corrcoef(torch.stack([angles, factors]))[0, 1].abs() < 0.1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
@pytest.mark.parametrize(("degrees", "factor"), [(0, 1.0), (20, 1.0), (-35, 1.2), (90, 0.7), (180, 1.0)])
def test_rotation_matches_torchvision(height: int, width: int, degrees: int, factor: float) -> None:
    image = torch.rand(2, 3, height, width)
    made = rotate(image, torch.tensor([0.3, math.radians(degrees)]), torch.tensor([1.5, factor]))[1]
    wanted = affine(image[1], degrees, [0, 0], factor, [0, 0], interpolation=InterpolationMode.BILINEAR)
    assert torch.allclose(made, wanted, atol=1e-4)


def test_rotation_by_90_degrees_permutes_pixels() -> None:
    image = torch.rand(1, 1, 9, 9)
    made = rotate(image, torch.tensor([math.pi / 2]), torch.ones(1))
    assert torch.allclose(made, image.rot90(-1, (2, 3)), atol=1e-5)


def test_enlarging_crops_the_image_and_shrinking_adds_a_black_margin() -> None:
    image = torch.zeros(2, 1, 16, 16)
    image[:, :, 4:12, 4:12] = 1
    small, large = rotate(image, torch.zeros(2), torch.tensor([0.5, 2.0]))[:, 0]
    assert large[1:-1, 1:-1].min() > 0.999
    assert small[:5].sum() + small[11:].sum() + small[:, :5].sum() + small[:, 11:].sum() == 0
    assert small.sum().item() == pytest.approx(16, rel=0.02)
