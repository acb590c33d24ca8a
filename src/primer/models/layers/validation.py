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


def check_not_negative(**values: int | float) -> None:
    """Raises ``InputError`` for the first value that is less than 0."""
    for name, value in values.items():
        if value < 0:
            raise InputError(f"{name} must be at least 0, not {value}")


def check_positive(**values: int | float) -> None:
    """Raises ``InputError`` for the first value that is not greater than 0."""
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} must be greater than 0, not {value}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Returns a value if it is one of the choices.

    Raises:
        InputError: if it is not.
    """
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value
