"""The ranges of numeric settings that belong to classes of Lightning and PyTorch, which report a value out of range
late, unclearly or not at all. Classes of Primer check their own arguments.

A range is an interval, such as ``[0, 1)`` for at least 0 and less than 1. In a list, each number must be in the range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

from primer.errors import InputError

RANGES: dict[str, str | tuple[str, str]] = {
    "seed": "[0, 4294967295]",
    "data.*_seed": "[0, 4294967295]",
    "*samples.seed": "[0, 4294967295]",
    "trainer.max_epochs": "[-1, 2147483647]",
    "trainer.min_epochs": "[0, 2147483647]",
    "trainer.max_steps": "[-1, inf)",
    "trainer.min_steps": "[0, inf)",
    "trainer.gradient_clip_val": "[0, inf)",
    "trainer.accumulate_grad_batches": "[1, inf)",
    "trainer.check_val_every_n_epoch": "[1, inf)",
    "trainer.val_check_interval": ("[1, inf)", "(0, 1]"),
    "trainer.limit_*_batches": ("[0, inf)", "[0, 1]"),
    "trainer.overfit_batches": ("[0, inf)", "[0, 1]"),
    "trainer.num_sanity_val_steps": "[-1, inf)",
    "trainer.log_every_n_steps": "[0, inf)",
    "trainer.reload_dataloaders_every_n_epochs": "[0, inf)",
    "accelerator.num_nodes": "[1, 65536]",
    "optimizer.lr": "[0, inf)",
    "optimizer.betas": "[0, 1)",
    "optimizer.eps": "[0, inf)",
    "optimizer.rho": "[0, 1]",
    "optimizer.alpha": "[0, 1]",
    "optimizer.momentum": "[0, 1)",
    "optimizer.dampening": "[0, inf)",
    "optimizer.momentum_decay": "[0, inf)",
    "optimizer.lr_decay": "[0, inf)",
    "optimizer.initial_accumulator_value": "[0, inf)",
    "optimizer.lambd": "[0, inf)",
    "optimizer.t0": "[0, inf)",
    "optimizer.ns_steps": "[1, 99]",
    "optimizer.step_sizes": "(0, inf)",
    "optimizer.max_row_norm": "(0, inf)",
    "optimizer.max_iter": "[1, inf)",
    "optimizer.max_eval": "[1, inf)",
    "optimizer.history_size": "[1, inf)",
    "optimizer.tolerance_*": "[0, inf)",
    "scheduler.step_size": "[1, inf)",
    "scheduler.gamma": "(0, inf)",
    "scheduler.milestones": "[1, inf)",
    "scheduler.T_*": "[1, inf)",
    "scheduler.eta_min": "[0, inf)",
    "scheduler.total_*": "[1, inf)",
    "scheduler.epochs": "[1, inf)",
    "scheduler.steps_per_epoch": "[1, inf)",
    "scheduler.*_lr": "[0, inf)",
    "scheduler.*div_factor": "(0, inf)",
    "scheduler.pct_start": "[0, 1]",
    "scheduler.*_momentum": "[0, 1)",
    "scheduler.start_factor": "(0, 1]",
    "scheduler.end_factor": "[0, 1]",
    "scheduler.factor": "(0, 1)",
    "scheduler.patience": "[0, inf)",
    "scheduler.cooldown": "[0, inf)",
    "scheduler.threshold": "[0, inf)",
    "scheduler.step_size_*": "[1, inf)",
    "scheduler.power": "[0, inf)",
    "callbacks.*.every_n_*": "[1, inf)",
    "callbacks.*.save_top_k": "[-1, inf)",
    "callbacks.*.patience": "[0, inf)",
}
"""The range of each setting by its dotted path, in which ``*`` matches anything. Of two, the first is for integers (a
number of batches) and the second for floats (a fraction of an epoch)."""

MAX_INTEGER = 2**63 - 1
MAX_FLOAT = 3.4e38
"""The largest numbers that layers and optimizers can hold."""


class Range(NamedTuple):
    """An interval; its bounds belong to it unless they are open."""

    low: float
    high: float
    low_open: bool
    high_open: bool

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, int | float)
        above = number > self.low if self.low_open else number >= self.low
        return above and (number < self.high if self.high_open else number <= self.high)

    def __str__(self) -> str:
        low = f"{'more than' if self.low_open else 'at least'} {self.low:.12g}"
        if math.isinf(self.high):
            return low
        return f"{low} and {'less than' if self.high_open else 'at most'} {self.high:.12g}"


def check_ranges(node: Any, path: str = "") -> None:
    """Checks all numbers within a config node: each must be in its range, and fit in PyTorch's types: 32 bits for
    floats, 64 for integers.

    Args:
        node: a plain container or value.
        path: its dotted path.

    Raises:
        InputError: for the first number that is not.
    """
    for setting, number in numbers(node, path):
        if isinstance(number, float) and not abs(number) <= MAX_FLOAT:
            raise InputError(f"{setting} must be a finite number in 32 bits, not {number}")
        if isinstance(number, int) and abs(number) > MAX_INTEGER:
            raise InputError(f"{setting} must be at most {MAX_INTEGER} in magnitude, not {number}")
        allowed = find_range(setting, isinstance(number, float))
        if allowed and number not in allowed:
            kinds = f" as {'a fraction' if isinstance(number, float) else 'an integer'}" if has_kinds(setting) else ""
            raise InputError(f"{setting} must be {allowed}{kinds}, not {number}")


def numbers(node: Any, path: str) -> Iterator[tuple[str, int | float]]:
    """Yields every number within a node, with the path of its setting. Numbers of a list have the path of the list."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from numbers(value, path)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node


@cache
def find_range(setting: str, is_float: bool) -> Range | None:
    """Returns the range of a setting, or None if it has none."""
    for pattern, interval in RANGES.items():
        if fnmatchcase(setting, pattern):
            return parse_range(interval if isinstance(interval, str) else interval[is_float])
    return None


def has_kinds(setting: str) -> bool:
    """Whether a setting has a range for integers and another one for floats."""
    return any(fnmatchcase(setting, pattern) for pattern, interval in RANGES.items() if isinstance(interval, tuple))


def parse_range(interval: str) -> Range:
    """Parses an interval such as ``[0, 1)``."""
    match = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", interval)
    assert match, interval
    return Range(float(match[2]), float(match[3]), match[1] == "(", match[4] == ")")
