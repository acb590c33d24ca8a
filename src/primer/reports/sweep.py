"""Summarizes a sweep: a row for each of its jobs, best first. This module does not import torch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from primer.errors import InputError
from primer.records.jobs import Job, read_jobs
from primer.records.runs import Run, read_run
from primer.reports.comparison import LEFT_OUT, Comparison, compare, is_in

WORDS = {"running": "cut off", "waiting": "not started"}
"""What a status is called in a summary; ``done``, ``pruned`` and ``failed`` are themselves."""


class Row(NamedTuple):
    """A job, and the run in its folder; None if it did not get that far."""

    job: Job
    run: Run | None

    @property
    def status(self) -> str:
        """The status in words."""
        return WORDS.get(self.job.status, self.job.status)

    def metric(self, name: str) -> float | None:
        """Returns a metric of a finished run; None if there is none."""
        return self.run.metrics.get(name) if self.run else None


@dataclass(frozen=True)
class Sweep:
    """A sweep as its folder describes it.

    Attributes:
        folder: its folder.
        rows: its jobs: those that are done, best first, then pruned, cut-off and failed ones.
        parameters: each key that was swept, with its value in each of ``rows``; empty if a job does not set it.
        comparison: of the runs that are done; None if there are none.
    """

    folder: Path
    rows: list[Row]
    parameters: dict[str, list[str]]
    comparison: Comparison | None

    @property
    def done(self) -> list[Row]:
        """The jobs that are done, best first."""
        return [row for row in self.rows if row.job.status == "done" and row.run and row.run.finished]

    @property
    def goal(self) -> str | None:
        """The metric by which the jobs are sorted."""
        return self.comparison.goal.monitor if self.comparison and self.comparison.goal else None

    def label(self, row: Row) -> str:
        """Returns the settings of a job that not all jobs have."""
        index = next(k for k, other in enumerate(self.rows) if other.job.number == row.job.number)
        cells = {key: values[index] for key, values in self.parameters.items()}
        return " ".join(f"{key}={shorten(cell)}" for key, cell in cells.items() if cell != "")


def read_sweep(folder: Path) -> Sweep:
    """Reads the folder of a sweep.

    Raises:
        InputError: if the folder has no jobs, or a file in it cannot be read.
    """
    jobs = read_jobs(folder)
    if not jobs:
        raise InputError(f"{folder} is not the folder of a sweep: it has no jobs")
    rows = [Row(job, _read_run(folder, job)) for job in jobs]
    done = {id(row.run): row for row in rows if row.run and row.run.finished and row.job.status == "done"}
    comparison = compare([row.run for row in done.values() if row.run]) if done else None
    ordered = [done[id(run)] for run in comparison.runs] if comparison else []
    status = ("done", "pruned", "running", "waiting", "failed")
    others = [row for row in rows if id(row.run) not in done]
    ordered += sorted(others, key=lambda row: status.index(row.job.status))
    return Sweep(folder, ordered, swept_parameters([row.job for row in ordered]), comparison)


def swept_parameters(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Returns the overridden keys that do not have the same value in all jobs, with their values."""
    settings = [{key.lstrip("+"): value for key, _, value in (o.partition("=") for o in job.overrides)} for job in jobs]
    names = dict.fromkeys(key for each in settings for key in each if not is_in(key, LEFT_OUT))
    return {
        name: values
        for name in names
        if len(set(values := [each.get(name, "") for each in settings])) > 1
    }  # fmt: skip


def importance(sweep: Sweep) -> dict[str, float]:
    """Returns, for each swept parameter, the fraction of the variance of the goal's ranks between jobs that is between
    its values, largest first. Numbers with many values are grouped into quarters. Parameters that are swept together
    add up to at most 1 only in a full grid."""
    rows = [k for k, row in enumerate(sweep.rows) if sweep.goal and row.metric(sweep.goal) is not None]
    if len(rows) < 3:
        return {}
    assert sweep.goal is not None
    values = [sweep.rows[k].metric(sweep.goal) or 0.0 for k in rows]
    ranks = [sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values]
    mean = sum(ranks) / len(ranks)
    total = sum((rank - mean) ** 2 for rank in ranks)
    result = {}
    for name, cells in sweep.parameters.items():
        groups: dict[Any, list[float]] = {}
        for group, rank in zip(_groups([cells[k] for k in rows]), ranks, strict=True):
            groups.setdefault(group, []).append(rank)
        if 1 < len(groups) < len(rows) and total:
            between = sum(len(group) * (sum(group) / len(group) - mean) ** 2 for group in groups.values())
            result[name] = between / total
    return dict(sorted(result.items(), key=lambda item: -item[1]))


def to_csv(sweep: Sweep) -> str:
    """Returns the rows as CSV: job, status, reason, seconds, what was swept, all metrics, and the run folder."""
    metrics = sweep.comparison.metrics() if sweep.comparison else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "status", "reason", "seconds", *sweep.parameters, *metrics, "overrides", "run"])
    for k, row in enumerate(sweep.rows):
        values = [cells[k] for cells in sweep.parameters.values()]
        folder = str(row.run.folder) if row.run else ""
        writer.writerow([
            row.job.number, row.status, row.job.reason, row.job.seconds, *values,
            *(row.metric(name) for name in metrics), " ".join(row.job.overrides), folder,
        ])  # fmt: skip
    return text.getvalue()


def shorten(cell: str) -> str:
    """Returns a number with many digits in fewer, and any other value unchanged."""
    number = to_number(cell)
    return cell if number is None or len(cell) < 8 else f"{number:.4g}"


def to_number(text: str) -> float | None:
    """Returns a finite number that a text stands for; None if it does not."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _groups(cells: Sequence[str]) -> list[Any]:
    numbers = [to_number(cell) for cell in cells]
    if len(set(cells)) <= 6 or None in numbers:
        return list(cells)
    ordered = sorted(number for number in numbers if number is not None)
    return [4 * ordered.index(number) // len(ordered) for number in numbers if number is not None]


def _read_run(sweep: Path, job: Job) -> Run | None:
    """Reads the run of a job, with the overrides of the job."""
    folder = Path(job.folder) if job.folder else None
    if folder and not folder.is_dir():  # The sweep was moved.
        folder = sweep / folder.name
    if folder is None or not (folder / "config.yaml").is_file():
        return None
    return replace(read_run(folder), overrides=job.overrides)
