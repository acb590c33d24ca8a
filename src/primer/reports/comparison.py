"""Compares runs: which settings differ, and which run is better. This module does not import torch."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from primer.records.runs import Goal, Run

REPEATED = ("seed", "data.fold")
"""Settings that make runs repetitions of each other, over which a mean and a standard deviation are computed."""

LEFT_OUT = ("paths", "logger", "resume", "test", "sweep", "callbacks.pictures", "callbacks.report",
            "callbacks.progress", "callbacks.pruning")  # fmt: skip
"""Settings, or groups of them, that do not change what a run learns."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but ``REPEATED``.

    Attributes:
        label: the settings in which the group differs from the others.
        runs: its runs.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def count(self) -> int:
        """The number of runs that have finished."""
        return sum(run.finished for run in self.runs)

    def mean(self, metric: str) -> float | None:
        """Returns the mean of a metric over the runs that have it; None if there is none."""
        values = self.values(metric)
        return statistics.fmean(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Returns the standard deviation of a metric over runs, with n - 1 degrees of freedom; None for one run."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def values(self, metric: str) -> list[float]:
        """Returns a metric of all runs that have it."""
        return [run.metrics[metric] for run in self.runs if metric in run.metrics]


@dataclass(frozen=True)
class Comparison:
    """What a set of runs have in common and what not.

    Attributes:
        runs: the runs, best first; those without the metric of the goal last.
        differences: each setting that is not the same in all runs, with its value in each of ``runs``.
        goal: the metric by which the runs are sorted; None if they do not select their best epoch by the same one, or
            none has finished, and the runs are in the given order.
        groups: the runs by setting, best mean first.
    """

    runs: list[Run]
    differences: dict[str, list[Any]]
    goal: Goal | None
    groups: list[Group]

    @property
    def repeated(self) -> bool:
        """Whether any setting was run more than once."""
        return any(len(group.runs) > 1 for group in self.groups)

    def own_overrides(self, run: Run) -> list[str]:
        """Returns the overrides of a run that not all others have."""
        return _own_overrides(run, self.runs)

    def metrics(self) -> list[str]:
        """Returns the names of the metrics that any run has, that of the goal first, then those of the test."""
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        first = [self.goal.monitor] if self.goal and self.goal.monitor in names else []
        test = [name for name in names if name.startswith("test/")]
        return list(dict.fromkeys([*first, *test, *names]))


def compare(runs: Sequence[Run]) -> Comparison:
    """Compares runs.

    Args:
        runs: at least one run.
    """
    goal = find_goal(runs)
    ordered = sorted(runs, key=lambda run: _rank(run.metrics.get(goal.monitor), goal)) if goal else list(runs)
    changed = differing_settings(ordered)
    differences = {name: [run.config.get(name) for run in ordered] for name in changed}
    by_setting: dict[tuple[str, ...], list[Run]] = {}
    kept = [name for name in changed if name not in REPEATED]
    for run in ordered:
        by_setting.setdefault(tuple(repr(run.config.get(name)) for name in kept), []).append(run)
    groups = [Group(_label(members[0], kept, ordered), tuple(members)) for members in by_setting.values()]
    if goal:
        groups.sort(key=lambda group: _rank(group.mean(goal.monitor), goal))
    return Comparison(ordered, differences, goal, groups)


def find_goal(runs: Sequence[Run]) -> Goal | None:
    """Returns the metric that selects the best epoch of all runs, as it is named in their metrics; None if
    they differ, or no run has finished."""
    goals = {run.goal for run in runs if run.goal}
    if len(goals) != 1:
        return None
    goal = goals.pop()
    best = f"best/{goal.monitor}"
    return goal._replace(monitor=best) if any(best in run.metrics for run in runs) else goal


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """Returns the settings that are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.config)
    return [
        name for name in names if not is_in(name, LEFT_OUT) and len({repr(run.config.get(name)) for run in runs}) > 1
    ]


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns a row per run, for a table: its folder, the settings that differ, and all metrics."""
    return [
        {
            "run": str(run.folder),
            **{name: values[k] for name, values in comparison.differences.items()},
            **{name: run.metrics.get(name) for name in comparison.metrics()},
        }
        for k, run in enumerate(comparison.runs)
    ]


def to_csv(comparison: Comparison) -> str:
    """Returns the rows as CSV; a cell is empty if a run does not have that setting or metric."""
    table, text = rows(comparison), io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def number(value: float | None, deviation: float | None = None) -> str:
    """Formats a value, with its standard deviation if there is one."""
    if value is None:
        return "–"
    text = _significant(value, 4)
    return text if deviation is None else f"{text} ± {_significant(deviation, 2)}"


def setting(name: str, value: Any) -> str:
    """Formats the value of a setting; a class is shown without its module."""
    if isinstance(value, bool):
        return str(value).lower()
    return "–" if value is None else str(value).rpartition(".")[2] if name.endswith("_target_") else str(value)


def is_in(name: str, groups: Sequence[str]) -> bool:
    """Whether a setting is one of those given, or part of one."""
    return any(f"{name}.".startswith(f"{group}.") for group in groups)


def _own_overrides(run: Run, runs: Sequence[Run], left_out: Sequence[str] = LEFT_OUT) -> list[str]:
    """Returns the overrides of a run that not all runs have."""
    lines = [line for line in run.overrides if not all(line in other.overrides for other in runs)]
    return [line for line in lines if not is_in(line.partition("=")[0].lstrip("+~"), left_out)]


def _label(run: Run, names: Sequence[str], runs: Sequence[Run]) -> str:
    """Describes a run by its overrides that other runs do not have; without any, by its settings that differ."""
    lines = _own_overrides(run, runs, (*LEFT_OUT, *REPEATED))
    return " ".join(lines or (f"{name}={setting(name, run.config.get(name))}" for name in names)) or "all runs"


def _significant(value: float, digits: int) -> str:
    """Formats a number with some significant digits; a number below a million has no exponent."""
    return f"{float(f'{value:.{digits}g}'):g}"


def _rank(value: float | None, goal: Goal) -> float:
    return math.inf if value is None else value if goal.mode == "min" else -value
