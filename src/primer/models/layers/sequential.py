"""Utilities for sequences of layers."""

from __future__ import annotations

from torch import nn


def split_after(layers: nn.Sequential, kind: type[nn.Module]) -> list[list[nn.Module]]:
    """Splits a sequence of layers after each layer of type ``kind``."""
    groups: list[list[nn.Module]] = [[]]
    for layer in layers:
        groups[-1].append(layer)
        if isinstance(layer, kind):
            groups.append([])
    return [group for group in groups if group]
