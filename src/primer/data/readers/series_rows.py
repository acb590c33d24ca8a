"""Reads labeled series from a long table: one row per time step, and a column that says which series it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from primer.data.readers.cells import CellFormat, category_name
from primer.data.readers.columns import TextColumn, to_numbers
from primer.data.readers.csv_rows import Row, SkipRows, read_rows
from primer.data.readers.steps import parse_time
from primer.data.readers.ts_file import LabeledSeries
from primer.errors import InputError, suggest


@dataclass(frozen=True)
class LongTable:
    """The layout of a table.

    Attributes:
        id: the column that names the series of each row.
        label: the column of the class.
        time: the column of times, by which the rows of a series are sorted; None keeps their order.
        channels: the columns of values; None for all others.
        delimiter, format, skip_rows: see ``read_rows``.
    """

    id: str
    label: str
    time: str | None
    channels: Sequence[str] | None
    delimiter: str
    format: CellFormat
    skip_rows: SkipRows

    def read(self, path: Path, labeled: bool = True) -> tuple[list[str], list[str], list[LabeledSeries]]:
        """Returns the channels, the names of the series in the order of the file, and the series.

        Args:
            path: the file.
            labeled: whether the table must have classes; otherwise, they are not read.

        Raises:
            InputError: if a column is missing, or a row is malformed, with the line.
        """
        names, rows = read_rows(path, self.delimiter, least=2, skip_rows=self.skip_rows, format=self.format)
        special = [self.id, *([self.time] if self.time else []), *([self.label] if labeled else [])]
        others = [name for name in names if name not in (*special, self.label)]
        channels = others if self.channels is None else list(self.channels)
        settings = {self.id: "id", self.time: "time", self.label: "label"}
        for name in [*special, *channels]:
            if name not in names:
                setting = f"data.{settings.get(name, 'channels')}"
                raise InputError(f"{path} does not have a column {name!r}, see {setting}; {suggest(name, names)}")
        if not channels:
            raise InputError(f"{path} has no columns of values besides {', '.join(special)}: see data.channels")
        lines = [line for line, _ in rows]
        columns = [
            to_numbers(TextColumn(path, name, [cells[names.index(name)] for _, cells in rows], lines), self.format)
            for name in channels
        ]
        values = np.column_stack([np.full(len(rows), np.nan) if column is None else column for column in columns])
        series = []
        groups = group_rows(path, rows, names.index(self.id), self.id)
        for indices in groups.values():
            some = [rows[k] for k in indices]
            order = [indices[k] for k in self._order(path, some, names)]
            label = self._label(path, some, names.index(self.label)) if labeled else ""
            series.append(LabeledSeries(values[order], label, f"{path}, line {lines[indices[0]]}"))
        return channels, list(groups), series

    def _order(self, path: Path, rows: list[Row], names: list[str]) -> list[int]:
        """Returns the order of the rows of a series in time."""
        if self.time is None:
            return list(range(len(rows)))
        column = names.index(self.time)
        times = [self._parse_time(cells[column], f"{path}, line {line}") for line, cells in rows]
        order = sorted(range(len(rows)), key=times.__getitem__)
        for earlier, later in pairwise(order):
            if times[earlier] == times[later]:
                line, cells = rows[later]
                raise InputError(f"{path}, line {line}: the time {cells[column]!r} occurs twice in one series")
        return order

    def _parse_time(self, text: str, location: str) -> float:
        number = None if text.isdecimal() else self.format.number(text)
        return parse_time(text if number is None else str(number), None, location, has_setting=False)

    def _label(self, path: Path, rows: list[Row], column: int) -> str:
        """Returns the class of a series, which all of its rows must have."""
        first, label = rows[0][0], rows[0][1][column]
        for line, cells in rows:
            if not cells[column]:
                raise InputError(f"{path}, line {line}: {self.label!r} is missing")
            if cells[column] != label:
                raise InputError(
                    f"{path}, line {line}: {self.label!r} is {cells[column]!r}, but {label!r} in line {first} of the "
                    "same series"
                )
        return category_name(label)


def group_rows(path: Path, rows: list[Row], column: int, name: str) -> dict[str, list[int]]:
    """Returns the indices of the rows of each series, by its name."""
    groups: dict[str, list[int]] = {}
    for k, (line, cells) in enumerate(rows):
        if not cells[column]:
            raise InputError(f"{path}, line {line}: {name!r} is missing")
        groups.setdefault(cells[column], []).append(k)
    return groups
