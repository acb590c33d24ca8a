"""Checks of hyperparameters."""

from __future__ import annotations

from primer.errors import InputError

MAX_LAYERS = 10_000
"""The maximum number of layers: building more would take hours before it fails."""


def check_rate(name: str, rate: float) -> float:
    """Returns a rate such as a dropout probability.

    Raises:
        InputError: unless it is at least 0 and less than 1.
    """
    if not 0 <= rate < 1:
        raise InputError(f"{name} must be at least 0 and less than 1, not {rate}")
    return rate


def check_sizes(**sizes: int) -> None:
    """Checks that all sizes are positive.

    Raises:
        InputError: for the first size that is less than 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} must be at least 1, not {size}")


def check_layers(**counts: int) -> None:
    """Checks numbers of layers.

    Raises:
        InputError: for the first that is less than 1 or more than ``MAX_LAYERS``.
    """
    check_sizes(**counts)
    for name, count in counts.items():
        if count > MAX_LAYERS:
            raise InputError(f"{name} must be at most {MAX_LAYERS}, not {count}")
