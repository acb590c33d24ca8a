"""Reads columns of a CSV file as equally spaced time steps without gaps."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from primer.data.readers.csv_rows import Row, read_rows
from primer.errors import InputError, suggest

TOLERANCE = 0.1
"""Allowed relative deviation of a time step from the usual one: months and years vary in length."""

LARGEST = float(np.finfo(np.float32).max)

DISTINCT = 16
"""Minimum ratio of a column's standard deviation to the spacing of single-precision numbers of its magnitude."""


def read_steps(
    file: Path, columns: list[str], time: str | None = None, delimiter: str = ",", interpolate: bool = False
) -> tuple[np.ndarray, int]:
    """Returns the steps in order, ``(steps, columns)``, and the line number of the last one.

    Args:
        file: the file, with column names in its first line and one row per step.
        columns: the columns to read.
        time: the column of times, used to sort rows and to find gaps. Without it, each row is a step and, in a file
            with a single column, so is each blank line between two rows.
        delimiter: the character between cells.
        interpolate: whether to fill empty cells and missing steps by linear interpolation.

    Raises:
        InputError: if a cell is empty or not a number, or the steps are not equally spaced, with the line.
    """
    names, rows = read_rows(file, delimiter, least=1)
    for name in [*columns, *([time] if time else [])]:
        if name not in names:
            raise InputError(f"{file} does not have a column {name!r}; {suggest(name, names)}")
    if len(names) == 1:
        rows = [row for pair in zip(rows, [*rows[1:], rows[-1]], strict=True) for row in _with_blanks(*pair)]
    positions = np.arange(len(rows))
    if time is not None:
        rows, positions = _sort_by_time(file, rows, names.index(time), interpolate)
    last, grid = rows[-1][0], np.arange(positions[-1] + 1)
    steps = []
    for name in columns:
        column = _parse_column(file, rows, name, names.index(name))
        known = np.flatnonzero(~np.isnan(column))
        _check_spread(f"{file}: {name!r}", column[known])
        for k in np.flatnonzero(np.isnan(column)):
            problem = f"{file}, line {rows[k][0]}: {name!r} is missing"
            if not interpolate:
                raise InputError(f"{problem}; set data.missing=interpolate to fill gaps")
            if not known.size or not known[0] < k < known[-1]:
                raise InputError(f"{problem} and there are no values on both sides to interpolate; remove the row")
        steps.append(np.interp(grid, positions[known], column[known]))
    return np.column_stack(steps), last


def _check_spread(location: str, column: np.ndarray) -> None:
    """Rejects numbers whose differences would be lost in single precision."""
    spread, largest = (column.std(), np.abs(column).max()) if column.size else (0.0, 0.0)
    if 0 < spread < DISTINCT * np.spacing(np.float32(largest)):
        raise InputError(
            f"{location} varies by only {spread:.2g}, too little for single precision at values of {largest:.2g}: "
            "subtract a constant from it"
        )


def _parse_column(file: Path, rows: list[Row], name: str, index: int) -> np.ndarray:
    """Returns a column as numbers, NaN for empty cells."""
    column = np.full(len(rows), np.nan)
    for k, (line, cells) in enumerate(rows):
        try:
            column[k] = float(cells[index]) if cells[index] else math.nan
        except ValueError:
            raise InputError(f"{file}, line {line}: {name!r} is {cells[index]!r}; expected a number") from None
        if abs(column[k]) > LARGEST:
            raise InputError(f"{file}, line {line}: {name!r} is {cells[index]}, too large for single precision")
    return column


def _sort_by_time(file: Path, rows: list[Row], column: int, interpolate: bool) -> tuple[list[Row], np.ndarray]:
    """Returns the rows sorted by time, and the step number of each, from 0."""
    times = [_parse_time(file, line, cells[column]) for line, cells in rows]
    rows = [rows[k] for k in sorted(range(len(rows)), key=times.__getitem__)]
    gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
    usual = sorted(gaps)[(len(gaps) - 1) // 2] if gaps else 1.0
    positions = [0]
    for gap, (_, earlier), (line, later) in zip(gaps, rows, rows[1:], strict=False):
        between = f"between {earlier[column]!r} and {later[column]!r}"
        if not gap:
            raise InputError(f"{file}, line {line}: the time {later[column]!r} occurs twice")
        steps = round(gap / usual) if usual and math.isfinite(gap / usual) else 0
        if not steps or abs(gap - steps * usual) > TOLERANCE * steps * usual:
            raise InputError(
                f"{file}, line {line}: the time {between} is not a multiple of the usual step; without data.time, rows "
                "are treated as equally spaced"
            )
        if steps > 1 and not interpolate:
            raise InputError(
                f"{file}, line {line}: {steps - 1} steps are missing {between}; set data.missing=interpolate to fill "
                "them"
            )
        positions.append(positions[-1] + steps)
        if positions[-1] >= 2 * len(rows):  # Checked before arrays of that size are allocated.
            raise InputError(
                f"{file}, line {line}: more steps are missing than present, the last of them {between}; check that "
                "time, and that data.time is the column of times"
            )
    return rows, np.array(positions)


def _parse_time(file: Path, line: int, text: str) -> float:
    """Converts a number, or a date to seconds since 1970. Eight digits are a date."""
    try:
        if not (len(text) == 8 and text.isdecimal()) and math.isfinite(float(text)):
            return float(text)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(f"{text}-01" if len(text) == 7 and text[4] == "-" else text)
    except ValueError:
        raise InputError(
            f"{file}, line {line}: the time {text!r} is neither a number nor a date such as 2001-12-31 or 2001-12"
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _with_blanks(row: Row, following: Row) -> list[Row]:
    """Returns the row, followed by an empty row for each blank line before the next one."""
    return [row, *((line, [""]) for line in range(row[0] + 1, following[0]))]
