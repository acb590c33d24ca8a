"""Normalization layers."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from primer.errors import InputError
from primer.models.layers.normalization import Normalization, normalization_layer


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("name", get_args(Normalization))
def test_outputs_have_mean_0_and_standard_deviation_1(name: str, image: bool) -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(64, 16, *((6, 6) if image else ()))
    y = normalization_layer(name, 16, image)(x)
    assert y.shape == x.shape
    if name == "none":
        assert torch.equal(x, y)
        return
    if name == "batch":
        axes = [axis for axis in range(y.ndim) if axis != 1]
    elif name == "layer":
        axes = list(range(1, y.ndim))
    else:
        y = y.view(64, 2, 8, -1)
        axes = [2, 3]
    assert torch.allclose(y.mean(axes), torch.zeros(()), atol=1e-4)
    assert torch.allclose(y.std(axes, correction=0), torch.ones(()), atol=1e-3)


@pytest.mark.parametrize(("features", "groups"), [(1, 1), (7, 1), (16, 2), (64, 8), (20, 2), (512, 32), (1000, 25)])
def test_number_of_groups(features: int, groups: int) -> None:
    layer = normalization_layer("group", features)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_unknown_normalization_is_an_error() -> None:
    with pytest.raises(InputError, match="normalization must be one of none, batch, layer, group, not 'spectral'"):
        normalization_layer("spectral", 3)
