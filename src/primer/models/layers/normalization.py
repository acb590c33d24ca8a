"""Normalization layers, selected by name."""

from __future__ import annotations

from typing import Literal

from torch import nn

from primer.errors import InputError

Normalization = Literal["none", "batch", "layer", "group"]


def normalization_layer(name: str, features: int, image: bool = False) -> nn.Module:
    """Builds a normalization layer for ``(batch, features)``, or for ``(batch, features, height, width)`` images.

    Args:
        name: ``batch`` (Ioffe and Szegedy 2015), ``layer`` (Ba et al. 2016), ``group`` (Wu and He 2018) with at most
            32 groups of at least 8 features each, or ``none``.
        features: number of features or channels.
        image: whether inputs are images.

    Raises:
        InputError: if the name is unknown.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(features) if image else nn.BatchNorm1d(features)
    if name == "layer":
        return nn.GroupNorm(1, features) if image else nn.LayerNorm(features)
    if name == "group":
        groups = next(g for g in range(min(32, max(1, features // 8)), 0, -1) if features % g == 0)
        return nn.GroupNorm(groups, features)
    raise InputError(f"normalization must be one of none, batch, layer, group, not {name!r}")
