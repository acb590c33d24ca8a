"""Checks of hyperparameters."""

from __future__ import annotations

import pytest

from primer.errors import InputError
from primer.models.layers.validation import MAX_LAYERS, check_layers, check_rate, check_sizes


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0, float("nan")])
def test_rate_outside_0_to_1_is_an_error(rate: float) -> None:
    assert check_rate("dropout", 0.0) == 0.0
    assert check_rate("dropout", 0.99) == 0.99
    with pytest.raises(InputError, match="dropout must be at least 0 and less than 1, not"):
        check_rate("dropout", rate)


def test_size_less_than_1_is_an_error() -> None:
    check_sizes(hidden_size=1, layers=5)
    with pytest.raises(InputError, match="layers must be at least 1, not 0"):
        check_sizes(hidden_size=1, layers=0)


def test_too_many_layers_are_an_error() -> None:
    check_layers(num_layers=MAX_LAYERS)
    with pytest.raises(InputError, match="num_layers must be at most 10000, not 10001"):
        check_layers(num_layers=MAX_LAYERS + 1)
    with pytest.raises(InputError, match="num_layers must be at least 1, not 0"):
        check_layers(num_layers=0)
