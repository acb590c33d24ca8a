"""Means and standard deviations, and standardization of batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from primer.data.loading.scaling import moments, standardize
from primer.spec import Image, Series, Tokens, Vector


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=20))
def test_moments_match_numpy(rows: list[list[float]]) -> None:
    values = np.asarray(rows, dtype=np.float32)
    mean, std = moments(torch.from_numpy(values))
    assert np.allclose(mean, values.astype(np.float64).mean(0), atol=1e-6)
    for actual, expected in zip(std, values.astype(np.float64).std(0), strict=True):
        assert actual == pytest.approx(expected, rel=1e-6, abs=1e-6) or (actual == 1.0 and expected < 1e-4)


def test_moments_of_image_channels() -> None:
    images = torch.rand(20, 3, 4, 5) * torch.tensor([1.0, 2.0, 5.0]).view(-1, 1, 1)
    mean, std = moments(images)
    assert torch.allclose(torch.tensor(mean), images.mean((0, 2, 3)))
    assert torch.allclose(torch.tensor(std), images.std((0, 2, 3), correction=0))


def test_bytes_are_scaled_to_the_unit_interval() -> None:
    images = torch.randint(0, 256, (20, 3, 4, 5), dtype=torch.uint8)
    assert np.allclose(moments(images), moments(images.double() / 255))


def test_a_constant_column_has_a_standard_deviation_of_1() -> None:
    columns = torch.tensor([[0.0, 0.1, 1e6, 5.0], [0.0, 0.1, 1e6, 5.0], [0.0, 0.1, 1e6, 5.5]])
    mean, std = moments(columns)
    assert std[:3] == (1.0, 1.0, 1.0)
    assert std[3] == pytest.approx(columns[:, 3].std(correction=0).item())
    assert mean[1] == pytest.approx(0.1)
    assert moments(torch.zeros(3, 1, 2, 2, dtype=torch.uint8)) == ((0.0,), (1.0,))


def test_a_column_of_tiny_numbers_is_not_treated_as_constant() -> None:
    """For example, lengths of nanometers given in meters."""
    columns = torch.randn(100, 1) * 1e-10
    mean, std = moments(columns)
    assert std[0] == pytest.approx(columns.double().std(correction=0).item(), rel=1e-5)
    scale = standardize(Vector(1, mean=mean, std=std))
    assert scale is not None
    assert scale(columns).std(correction=0).item() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("kind", ["bytes", "floats", "rows", "doubles"])
def test_standardized_values_have_mean_0_and_standard_deviation_1(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "rows":
        values = torch.randn(200, 3) * torch.tensor([1.0, 10.0, 0.1]) + torch.tensor([5.0, -3.0, 0.0])
        spec = Vector(3, (), *moments(values))
    else:
        values = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8)
        values = values if kind == "bytes" else (values.double() if kind == "doubles" else values.float()) / 255
        spec = Image(3, 4, 4, *moments(values))
    before = values.clone()
    scale = standardize(spec)
    assert scale is not None
    scaled = scale(values)
    assert scaled.is_floating_point()
    mean, std = moments(scaled)
    assert np.allclose(mean, 0, atol=1e-5)
    assert np.allclose(std, 1, atol=1e-5)
    assert torch.equal(values, before)
    assert torch.equal(scale(values), scaled)


def test_bytes_and_floats_of_the_same_image_are_scaled_alike() -> None:
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    scale = standardize(Image(1, 4, 4, (0.3,), (0.2,)))
    assert scale is not None
    assert torch.allclose(scale(images), scale(images.float() / 255), atol=1e-6)
    assert torch.allclose(scale(images), (images / 255 - 0.3) / 0.2, atol=1e-6)


def test_without_moments_bytes_are_scaled_to_the_unit_interval_and_floats_are_unchanged() -> None:
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    scale = standardize(Image(3, 4, 4))
    assert scale is not None
    assert torch.allclose(scale(images), images / 255)
    assert torch.equal(scale(images.float()), images.float())


@pytest.mark.parametrize("kind", [Tokens(("<pad>", "<unk>")), Series(2)])
def test_inputs_without_moments_are_not_scaled(kind: Tokens | Series) -> None:
    assert standardize(kind) is None
