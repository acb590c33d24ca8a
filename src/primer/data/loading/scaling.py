"""Estimates mean and standard deviation, and standardizes batches with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from primer.spec import Image, Input, Series, Vector, Video, stored_mean

FAR = 100
"""A column whose mean is more than this many standard deviations from 0 is stored as differences from the mean: single
precision has about 7 digits, and the differences would keep fewer than 5 of them."""
CONSTANT = {torch.float64: 4e-15, torch.float32: 1e-8}
"""The standard deviation of a column of equal numbers, relative to their size, is rounded to at most this."""


def moments(values: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the standard deviation of each column of ``(samples, features)`` or each channel of
    ``(samples, channels, height, width)``. Bytes are scaled to [0, 1]. A constant column gets a standard deviation of
    1."""
    means, stds = [], []
    for row in values.transpose(0, 1).flatten(1):
        mean, std, largest = _byte_statistics(row) if row.dtype == torch.uint8 else _float_statistics(row)
        means.append(mean)
        stds.append(std if std > CONSTANT.get(row.dtype, 1e-8) * largest else 1.0)
    return tuple(means), tuple(stds)


def find_offset(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[float, ...]:
    """Returns what to subtract from each column before it is stored in single precision: the mean of columns far from
    0, and 0 for the others. Empty if no column is far from 0."""
    offset = tuple(m if abs(m) > FAR * s else 0.0 for m, s in zip(mean, std, strict=True))
    return offset if any(offset) else ()


def to_single(values: Tensor, offset: tuple[float, ...]) -> Tensor:
    """Subtracts ``offset`` from double-precision values, ``(..., columns)``, and converts them to single precision."""
    return (values - torch.tensor(offset, dtype=torch.float64) if offset else values).float()


def to_original(values: Tensor, offset: tuple[float, ...]) -> Tensor:
    """Adds ``offset`` again, in double precision; the inverse of ``to_single``."""
    return values.double() + torch.tensor(offset, dtype=torch.float64) if offset else values


def unstandardize(values: Tensor, kind: Vector) -> Tensor:
    """Converts standardized vectors to the unit of the data, in double precision."""
    std, mean = (torch.tensor(each, dtype=torch.float64) for each in (kind.std or (1.0,), kind.mean or (0.0,)))
    return values.double() * std + mean


def _byte_statistics(row: Tensor) -> tuple[float, float, float]:
    """Returns the mean, the standard deviation and the largest absolute value, computed from a histogram of the 256
    levels: converting to floats would take eight times the memory of the data set."""
    frequencies = torch.bincount(row, minlength=256).double() / max(1, len(row))
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = (frequencies * levels).sum()
    return mean.item(), (frequencies * (levels - mean).square()).sum().sqrt().item(), row.max().item() / 255


def _float_statistics(row: Tensor) -> tuple[float, float, float]:
    row = row.double()
    return row.mean().item(), row.std(correction=0).item(), row.abs().max().item()


def standardize(kind: Input) -> Callable[[Tensor], Tensor] | None:
    """Returns a function that scales raw inputs to mean 0 and standard deviation 1, or None if inputs of this kind are
    not standardized.

    Bytes are scaled to [0, 1] first, so that ``mean`` and ``std`` have the same meaning for bytes and floats.
    """
    if not isinstance(kind, Image | Video | Vector | Series) or (isinstance(kind, Series) and not kind.mean):
        return None
    mean = torch.tensor((kind.mean if isinstance(kind, Image | Video) else stored_mean(kind)) or (0.0,))
    std = torch.tensor(kind.std or (1.0,))
    if isinstance(kind, Image | Video):
        mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    factors: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def scale(inputs: Tensor) -> Tensor:
        key = inputs.device, inputs.dtype
        if key not in factors:
            unit = 1 / 255 if inputs.dtype == torch.uint8 else 1.0
            factors[key] = (unit / std).to(inputs.device), (mean / std).to(inputs.device)
        factor, offset = factors[key]
        # In place if inputs were copied already: twice as fast, and stored floats are not modified.
        scaled = inputs * factor if inputs.is_floating_point() else inputs.float().mul_(factor)
        return scaled.sub_(offset)

    return scale
