"""Estimates mean and standard deviation, and standardises batches with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from primer.spec import Image, Input, Series, Vector


def moments(values: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column (``(samples, features)``) or channel (``(samples, channels, height,
    width)``; bytes count as parts of 255). A constant column gets the deviation 1."""
    means, deviations = [], []
    for row in values.transpose(0, 1).flatten(1):
        mean, deviation, largest = _of_bytes(row) if row.dtype == torch.uint8 else _of_numbers(row)
        means.append(mean)
        deviations.append(deviation if deviation > 1e-8 * largest else 1.0)
    return tuple(means), tuple(deviations)


def _of_bytes(row: Tensor) -> tuple[float, float, float]:
    """Mean, deviation and largest absolute value, from how often each of 256 levels occurs: floats of all would take
    eight times the memory of the data set."""
    shares = torch.bincount(row, minlength=256).double() / max(1, len(row))
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = (shares * levels).sum()
    return mean.item(), (shares * (levels - mean).square()).sum().sqrt().item(), row.max().item() / 255


def _of_numbers(row: Tensor) -> tuple[float, float, float]:
    row = row.double()
    return row.mean().item(), row.std(correction=0).item(), row.abs().max().item()


def standardize(kind: Input) -> Callable[[Tensor], Tensor] | None:
    """A function that turns raw inputs into floats of mean 0 and deviation 1; None for inputs of another kind.

    Bytes are read as parts of 255, so that ``mean`` and ``std`` mean the same for either.
    """
    if not isinstance(kind, Image | Vector | Series) or (isinstance(kind, Series) and not kind.mean):
        return None
    mean, std = torch.tensor(kind.mean or (0.0,)), torch.tensor(kind.std or (1.0,))
    if isinstance(kind, Image):
        mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    factors: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def scale(inputs: Tensor) -> Tensor:
        key = inputs.device, inputs.dtype
        if key not in factors:
            unit = 1 / 255 if inputs.dtype == torch.uint8 else 1.0
            factors[key] = (unit / std).to(inputs.device), (mean / std).to(inputs.device)
        factor, offset = factors[key]
        # In place where there is a copy already: twice as fast, and stored floats stay as they are.
        scaled = inputs * factor if inputs.is_floating_point() else inputs.float().mul_(factor)
        return scaled.sub_(offset)

    return scale
