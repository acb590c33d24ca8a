"""Reads what Weights & Biases has recorded offline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class RecordedRun(NamedTuple):
    """An offline run.

    Attributes:
        run: the record of the run: its id, project, group, job type, tags, notes and config.
        history: what was logged, in order.
        summary: the last value of each metric.
        artifacts: the artifacts that are not tables.
        exit_code: the exit code; None if the run has not ended.
    """

    run: dict[str, Any]
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    artifacts: list[dict[str, Any]]
    exit_code: int | None

    @property
    def config(self) -> dict[str, Any]:
        return self.run["config"]["update"]

    def values(self, name: str) -> list[tuple[int, float]]:
        """Returns the logged values of a metric, each with its epoch."""
        return [(row["epoch"], row[name]) for row in self.history if name in row]


def recorded_runs(folder: Path) -> list[RecordedRun]:
    """Returns the offline runs within a run folder, in the order in which they were started."""
    return [read(file) for file in sorted(folder.glob("wandb/offline-run-*"))]


def read(folder: Path) -> RecordedRun:
    """Reads the folder of an offline run with W&B's own reader."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in shown.stdout.splitlines()]

    def contents(kind: str) -> list[Any]:
        return [record[kind] for record in records if record["type"] == kind]

    summary: dict[str, Any] = {}
    for record in contents("summary"):
        summary |= record["update"]
    artifacts = [record for record in contents("artifact") if record["type"] != "run_table"]
    exits = [record.get("exit_code", 0) for record in contents("exit")]
    history = [record["item"] for record in contents("history")]
    return RecordedRun(contents("run")[0], history, summary, artifacts, exits[-1] if exits else None)
