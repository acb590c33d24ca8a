"""Accelerator settings that cannot work are rejected before any data is read."""

from __future__ import annotations

from typing import Any

import pytest

from primer.errors import InputError
from primer.run.accelerators import check_accelerator

SETTINGS: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"devices": -1}, "accelerator.devices=-1: on the CPU, it is the number of processes, from 1 to"),
        ({"devices": 10**6}, "accelerator.devices=1000000: on the CPU"),
        ({"devices": "abc"}, "accelerator.devices=abc: on the CPU"),
        ({"devices": [0, 1]}, r"accelerator.devices=\[0, 1\]: on the CPU"),
        ({"devices": 0}, "accelerator.devices must be at least 1, or -1 for all, not 0"),
        ({"devices": -2}, "accelerator.devices must be at least 1, or -1 for all, not -2"),
        ({"strategy": "abc"}, "accelerator.strategy=abc: valid: auto, "),
        ({"strategy": "dpp"}, r"accelerator.strategy=dpp: did you mean \w+\? valid: auto, "),
        ({"accelerator": "cup"}, "accelerator.accelerator=cup is unknown"),
    ],
)
def test_settings_that_cannot_work(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_accelerator(SETTINGS | changed)


@pytest.mark.parametrize("changed", [{}, {"devices": 2, "strategy": "ddp"}, {"devices": "auto"}, {"devices": "2"}])
def test_settings_that_work(changed: dict[str, Any]) -> None:
    check_accelerator(SETTINGS | changed)
