"""What Weights & Biases and MLflow have in common: the ids of their runs, the sweep of a run, and the tables sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from primer.records.run_folder import TRACKING, write


class Table(NamedTuple):
    """A table of a report.

    Attributes:
        name: what it lists: ``classes``, ``mistakes`` or ``layers``.
        columns: the names of its columns.
        rows: a value per column.
    """

    name: str
    columns: list[str]
    rows: list[list[Any]]


def saved_id(folder: Path, tracker: str) -> str | None:
    """Returns the id that a tracker has given to the run in a folder; None if it has none yet."""
    file = folder / TRACKING
    return json.loads(file.read_text()).get(tracker) if file.is_file() else None


def save_id(folder: Path, tracker: str, run_id: str) -> None:
    """Records the id that a tracker has given to the run in a folder, so that a resumed run continues it."""
    file = folder / TRACKING
    ids = json.loads(file.read_text()) if file.is_file() else {}
    if ids.get(tracker) != run_id:
        write(file, json.dumps(ids | {tracker: run_id}, indent=2) + "\n")


def sweep_name() -> str | None:
    """Returns the name of the folder of the sweep that this run is a job of; None if it is not part of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def report_tables(folder: Path) -> list[Table]:
    """Returns the tables of the report of a run: its classes, its worst mistakes, and its layers."""
    file = folder / "report.json"
    content = json.loads(file.read_text()) if file.is_file() else {}
    tables = []
    for name in ("classes", "mistakes", "layers"):
        if rows := content.get(name):
            columns = list(rows[0])
            tables.append(Table(name, columns, [[_cell(row[column]) for column in columns] for row in rows]))
    return tables


def _cell(value: Any) -> Any:
    return "×".join(map(str, value)) if isinstance(value, list) else value
