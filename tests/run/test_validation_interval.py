"""Validation must take place within an epoch, or every few epochs."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.small_models import digits

from primer.errors import InputError
from primer.run.settings import check_validation_interval

TRAINER: dict[str, Any] = {"val_check_interval": None, "check_val_every_n_epoch": 1, "limit_train_batches": None}


@pytest.mark.parametrize(
    ("changed", "batches"),
    [
        ({"val_check_interval": 1000}, 7),
        ({"val_check_interval": 4, "limit_train_batches": 3}, 3),
        ({"val_check_interval": 4, "limit_train_batches": 0.5}, 3),
    ],
)
def test_an_interval_longer_than_an_epoch(changed: dict[str, Any], batches: int) -> None:
    message = f"trainer.val_check_interval={changed['val_check_interval']}: an epoch has only {batches} batches"
    with pytest.raises(InputError, match=message):
        check_validation_interval({"trainer": TRAINER | changed}, digits())


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"val_check_interval": 7},
        {"val_check_interval": 0.5},
        {"val_check_interval": 9, "check_val_every_n_epoch": None},
    ],
)
def test_an_interval_that_works(changed: dict[str, Any]) -> None:
    check_validation_interval({"trainer": TRAINER | changed}, digits())
