"""Cutout."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from helpers.augmentation import assert_even, assert_uniform, augment
from torch import Tensor

from primer.regularization import Cutout


def boxes(augmented: Tensor, background: float = 0.0) -> Tensor:
    """Returns top, left, height and width of the pixels that differ from the background, ``(images, 4)``, and checks
    that they form one rectangle."""
    rectangles = []
    for image in augmented:
        erased = (image != background).any(0)
        if not erased.any():
            rectangles.append([0, 0, 0, 0])
            continue
        rows, columns = erased.any(1).nonzero().flatten(), erased.any(0).nonzero().flatten()
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
        assert int(erased.sum()) == height * width
        rectangles.append([top, left, height, width])
    return torch.tensor(rectangles)


def erased(step: Cutout, *shape: int) -> Tensor:
    return boxes(augment(step, torch.zeros(shape), mean=(0.5,) * shape[1]))


def test_area_and_aspect_are_uniformly_distributed() -> None:
    _, _, height, width = erased(Cutout(1.0, (0.05, 0.29), (0.3, 3.3)), 800, 1, 96, 96).T.double()
    assert_uniform((height * width / 96**2).clamp(0.05, 0.29), 0.05, 0.29)
    assert_uniform((height / width).log().clamp(math.log(0.3), math.log(3.3)), math.log(0.3), math.log(3.3))
    assert (height * width / 96**2).max() < 0.3
    assert (height / width).max() < 3.5


def test_positions_are_uniformly_distributed() -> None:
    rectangles = erased(Cutout(1.0, (0.25, 0.25), (1, 1)), 1000, 1, 8, 8)
    assert (rectangles[:, 2:] == 4).all()
    positions = Counter((int(top), int(left)) for top, left in rectangles[:, :2])
    assert_even(list(positions.values()), 25, chi_square=51.2)  # 24 degrees of freedom, p = 0.001.


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_images_are_erased_with_the_given_probability(probability: float) -> None:
    rectangles = erased(Cutout(probability), 600, 3, 16, 16)
    assert (rectangles[:, 2] > 0).float().mean().item() == pytest.approx(probability, abs=0.06)


@pytest.mark.parametrize(("height", "width"), [(8, 80), (80, 8), (40, 40)])
def test_the_rectangle_fits_into_any_image(height: int, width: int) -> None:
    rectangles = erased(Cutout(1.0, (0.1, 0.6), (0.1, 10)), 300, 1, height, width)
    areas = rectangles[:, 2] * rectangles[:, 3] / (height * width)
    assert areas.min() > 0.08
    assert areas.max() < 0.65
    assert (rectangles[:, 0] + rectangles[:, 2] <= height).all()
    assert (rectangles[:, 1] + rectangles[:, 3] <= width).all()


def test_at_least_one_pixel_and_at_most_the_whole_image_is_erased() -> None:
    assert (erased(Cutout(1.0, (0.001, 0.001)), 20, 1, 3, 3)[:, 2:] == 1).all()
    assert (erased(Cutout(1.0, (1.0, 1.0)), 20, 1, 3, 3)[:, 2:] == 3).all()


@pytest.mark.parametrize(("dtype", "expected"), [(torch.uint8, [26, 128, 230]), (torch.float32, [0.1, 0.5, 0.9])])
def test_rectangles_are_filled_with_the_mean_of_the_data_set(dtype: torch.dtype, expected: list[float]) -> None:
    augmented = augment(Cutout(1.0, area=(1, 1)), torch.ones(2, 3, 4, 5, dtype=dtype), mean=(0.1, 0.5, 0.9))
    assert augmented.dtype == dtype
    assert torch.equal(augmented, torch.tensor(expected, dtype=dtype).view(3, 1, 1).expand(2, 3, 4, 5))


def test_without_a_mean_rectangles_are_black() -> None:
    assert not augment(Cutout(1.0, area=(1, 1)), torch.ones(2, 3, 4, 5)).any()
