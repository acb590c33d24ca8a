"""Flips, shifts, rotations and scaling."""

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
    augmented = augment(Flip(probability), inputs)
    flipped = (augmented == inputs.flip(-1)).flatten(1).all(1)
    plain = (augmented == inputs).flatten(1).all(1)
    assert (flipped ^ plain).all()
    assert flipped.float().mean().item() == pytest.approx(probability, abs=0.06)


def displacement(image: Tensor, original: Tensor, most: int) -> tuple[int, int]:
    """Returns by how many rows and columns an image was shifted. Fails if it was changed in any other way."""
    height, width = original.shape[1:]
    padded = F.pad(original, (most,) * 4)
    for row in range(2 * most + 1):
        for column in range(2 * most + 1):
            if torch.equal(padded[:, row : row + height, column : column + width], image):
                return row - most, column - most
    raise AssertionError("the image was not only shifted")


@pytest.mark.parametrize(("dtype", "channels"), [(torch.uint8, 3), (torch.float32, 1)])
def test_shifts_are_independent_and_uniformly_distributed(dtype: torch.dtype, channels: int) -> None:
    inputs = images(dtype=dtype, channels=channels)
    moves = Counter(displacement(image, inputs[0], 1) for image in augment(Shift(1), inputs))
    assert_even(list(moves.values()), 9, chi_square=26.1)  # 8 degrees of freedom, p = 0.001.


def test_shifted_images_are_filled_with_black() -> None:
    inputs = images(50, torch.uint8)
    for image in augment(Shift(3), inputs):
        row, column = displacement(image, inputs[0], 3)
        visible = (5 - abs(row)) * (6 - abs(column))
        assert int((image[0] > 0).sum()) == visible


def test_shifts_may_be_larger_than_the_image() -> None:
    augmented = augment(Shift(9), images(200, torch.uint8))
    assert any(not image.any() for image in augmented)
    assert any(image.any() for image in augmented)


@pytest.mark.parametrize("step", [Shift(2), Rotate(40)])
def test_channels_move_together(step: Shift | Rotate) -> None:
    augmented = augment(step, torch.rand(30, 1, 6, 6).expand(30, 3, 6, 6))
    assert torch.equal(augmented[:, 0], augmented[:, 1])
    assert torch.equal(augmented[:, 0], augmented[:, 2])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_angles_and_factors_are_uniformly_distributed(height: int, width: int) -> None:
    # After rotating a gradient along the columns, its slopes along both axes are the cosine and sine of the angle.
    slope = (torch.arange(width) / width).expand(1200, 1, height, width).contiguous()
    augmented = augment(Rotate(30, (0.8, 1.3)), slope)[:, 0] * width
    row, column = height // 2, width // 2
    cos = augmented[:, row, column + 1] - augmented[:, row, column]
    sin = augmented[:, row + 1, column] - augmented[:, row, column]
    angles, factors = torch.atan2(sin, cos) * 180 / math.pi, 1 / torch.hypot(sin, cos)
    assert_uniform(angles.clamp(-30, 30), -30, 30)
    assert_uniform(factors.clamp(0.8, 1.3), 0.8, 1.3)
    assert angles.abs().max() < 30.1
    assert torch.corrcoef(torch.stack([angles, factors]))[0, 1].abs() < 0.1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
@pytest.mark.parametrize(("degrees", "factor"), [(0, 1.0), (20, 1.0), (-35, 1.2), (90, 0.7), (180, 1.0)])
def test_rotation_matches_torchvision(height: int, width: int, degrees: int, factor: float) -> None:
    image = torch.rand(2, 3, height, width)
    augmented = rotate(image, torch.tensor([0.3, math.radians(degrees)]), torch.tensor([1.5, factor]))[1]
    expected = affine(image[1], degrees, [0, 0], factor, [0, 0], interpolation=InterpolationMode.BILINEAR)
    assert torch.allclose(augmented, expected, atol=1e-4)


def test_rotation_by_90_degrees_permutes_pixels() -> None:
    image = torch.rand(1, 1, 9, 9)
    augmented = rotate(image, torch.tensor([math.pi / 2]), torch.ones(1))
    assert torch.allclose(augmented, image.rot90(-1, (2, 3)), atol=1e-5)


def test_enlarging_crops_the_image_and_shrinking_adds_a_black_margin() -> None:
    image = torch.zeros(2, 1, 16, 16)
    image[:, :, 4:12, 4:12] = 1
    small, large = rotate(image, torch.zeros(2), torch.tensor([0.5, 2.0]))[:, 0]
    assert large[1:-1, 1:-1].min() > 0.999
    assert small[:5].sum() + small[11:].sum() + small[:, :5].sum() + small[:, 11:].sum() == 0
    assert small.sum().item() == pytest.approx(16, rel=0.02)
