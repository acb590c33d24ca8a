"""Limits and intervals in batches must fit an epoch."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.small_models import digits

from primer.errors import InputError
from primer.run.settings import check_batches

TRAINER: dict[str, Any] = {
    "val_check_interval": None, "check_val_every_n_epoch": 1, "limit_train_batches": None, "limit_val_batches": None,
    "limit_test_batches": None,
}  # fmt: skip


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
        check_batches({"trainer": TRAINER | changed, "test": True}, digits())


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"val_check_interval": 7},
        {"val_check_interval": 0.5},
        {"val_check_interval": 9, "check_val_every_n_epoch": None},
        {"limit_train_batches": 0.2, "limit_val_batches": 0.0, "limit_test_batches": 1},
    ],
)
def test_batches_that_an_epoch_has(changed: dict[str, Any]) -> None:
    check_batches({"trainer": TRAINER | changed, "test": True}, digits())


@pytest.mark.parametrize(("stage", "fraction"), [("train", 0.1), ("val", 0.5), ("test", 0.4)])
def test_a_fraction_that_leaves_no_batch(stage: str, fraction: float) -> None:
    message = rf"trainer.limit_{stage}_batches={fraction}: no batch out of \d would be left"
    with pytest.raises(InputError, match=message):
        check_batches({"trainer": TRAINER | {f"limit_{stage}_batches": fraction}, "test": True}, digits())


def test_batches_of_a_test_that_does_not_take_place_are_not_checked() -> None:
    check_batches({"trainer": TRAINER | {"limit_test_batches": 0.4}, "test": False}, digits())
