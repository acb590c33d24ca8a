"""Comparison of what two runs have recorded."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import torch

TOLERANCE = 1e-4


def history(run: Path) -> list[dict[str, str]]:
    """Returns the rows of ``metrics.csv``; empty if there is none."""
    if not (run / "metrics.csv").exists():
        return []
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(first: Path, second: Path) -> None:
    """Compares all metrics and the whole content of all checkpoints, except for times and places."""
    assert checkpoints(first) == checkpoints(second)
    assert_close(history(first), history(second), "metrics.csv")
    if (first / "metrics.json").exists():
        one, other = (json.loads((run / "metrics.json").read_text()) for run in (first, second))
        assert_close(one | {"fit_seconds": 0}, other | {"fit_seconds": 0}, "metrics.json")
    for name in checkpoints(first):
        one, other = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (first, second))
        for content in (one, other):
            resume = content["callbacks"]["Resume"]
            # These sums matter only within an epoch, and files are named with Python's random numbers.
            del content["primer"]["config"], resume["logged_sums"], resume["random_state"]["python"]
        assert_close(one, other, name)
        sizes = [(run / "checkpoints" / name).stat().st_size for run in (first, second)]
        assert abs(sizes[0] - sizes[1]) < 5_000, name


def checkpoints(run: Path) -> list[str]:
    """Returns the names of the checkpoints of a run."""
    return sorted(file.name for file in run.glob("checkpoints/*"))


def assert_close(first: Any, second: Any, path: str) -> None:
    """Compares plain values and tensors within a relative and absolute tolerance, and of paths the last part."""
    if isinstance(first, dict):
        assert [Path(str(key)).name for key in first] == [Path(str(key)).name for key in second], path
        for key, other in zip(first, second, strict=True):
            assert_close(first[key], second[other], f"{path}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_close(one, other, f"{path}[{index}]")
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, path
        torch.testing.assert_close(second, first, rtol=TOLERANCE, atol=TOLERANCE, msg=f"{path}: {first} {second}")
    elif is_number(first):
        assert math.isclose(float(first), float(second), rel_tol=TOLERANCE, abs_tol=TOLERANCE), (path, first, second)
    else:
        assert Path(str(first)).name == Path(str(second)).name, path


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number, or a string of one."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
