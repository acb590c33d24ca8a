"""The columns of a CSV file as equally spaced steps of time, without a gap."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from primer.data.readers.csv_rows import Row, read_rows
from primer.errors import InputError, suggest

TOLERANCE = 0.1
"""How far a step of time may be from the usual one, as a share of it: months and years are not equally long."""

LARGEST = float(np.finfo(np.float32).max)

DISTINCT = 16
"""How many times as wide as the gaps between its single-precision numbers a column must at least be spread."""


def read_steps(
    file: Path, columns: list[str], time: str | None = None, delimiter: str = ",", interpolate: bool = False
) -> tuple[np.ndarray, int]:
    """The steps, ``(steps, columns)``, in their order, and the number of the line of the last one.

    Args:
        file: with the names of the columns in its first line, and a row for each step.
        columns: those to be read.
        time: the column of times, by which rows are ordered and gaps are found; without it each row is a step, and in a
            file of one column each blank line between two rows.
        delimiter: between the cells of a row.
        interpolate: whether empty cells and steps that are left out are filled, by a straight line between their
            neighbours.

    Raises:
        InputError: with the line, where a cell is no number or is empty, or the steps are not equal.
    """
    names, rows = read_rows(file, delimiter, least=1)
    for name in [*columns, *([time] if time else [])]:
        if name not in names:
            raise InputError(f"{file} has no column {name!r}; {suggest(name, names)}")
    if len(names) == 1:
        rows = [row for pair in zip(rows, [*rows[1:], rows[-1]], strict=True) for row in _with_blanks(*pair)]
    places = np.arange(len(rows))
    if time is not None:
        rows, places = _in_order(file, rows, names.index(time), interpolate)
    last, grid = rows[-1][0], np.arange(places[-1] + 1)
    steps = []
    for name in columns:
        column = _numbers(file, rows, name, names.index(name))
        known = np.flatnonzero(~np.isnan(column))
        _check_spread(f"{file}: {name!r}", column[known])
        for k in np.flatnonzero(np.isnan(column)):
            place = f"{file}, line {rows[k][0]}: {name!r} is missing"
            if not interpolate:
                raise InputError(f"{place}; data.missing=interpolate fills such gaps")
            if not known.size or not known[0] < k < known[-1]:
                raise InputError(f"{place}, without a value on both sides to interpolate between; leave the row out")
        steps.append(np.interp(grid, places[known], column[known]))
    return np.column_stack(steps), last


def _check_spread(place: str, column: np.ndarray) -> None:
    """Refuses numbers whose differences get lost where they are computed with."""
    spread, largest = (column.std(), np.abs(column).max()) if column.size else (0.0, 0.0)
    if 0 < spread < DISTINCT * np.spacing(np.float32(largest)):
        raise InputError(
            f"{place} varies by {spread:.2g} only, which single precision cannot hold beside values of {largest:.2g}: "
            "subtract a constant from it"
        )


def _numbers(file: Path, rows: list[Row], name: str, place: int) -> np.ndarray:
    """A column, NaN for an empty cell."""
    found = np.full(len(rows), np.nan)
    for k, (line, cells) in enumerate(rows):
        try:
            found[k] = float(cells[place]) if cells[place] else math.nan
        except ValueError:
            raise InputError(f"{file}, line {line}: {name!r} is {cells[place]!r}, and a number was expected") from None
        if abs(found[k]) > LARGEST:
            raise InputError(f"{file}, line {line}: {name!r} is {cells[place]}, too large to compute with")
    return found


def _in_order(file: Path, rows: list[Row], column: int, interpolate: bool) -> tuple[list[Row], np.ndarray]:
    """The rows in the order of time, and for each the number of its step, from 0."""
    times = [_seconds(file, line, cells[column]) for line, cells in rows]
    rows = [rows[k] for k in sorted(range(len(rows)), key=times.__getitem__)]
    gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
    usual = sorted(gaps)[(len(gaps) - 1) // 2] if gaps else 1.0
    places = [0]
    for gap, (_, earlier), (line, later) in zip(gaps, rows, rows[1:], strict=False):
        between = f"between {earlier[column]!r} and {later[column]!r}"
        if not gap:
            raise InputError(f"{file}, line {line}: the time {later[column]!r} is there twice")
        steps = round(gap / usual) if usual and math.isfinite(gap / usual) else 0
        if not steps or abs(gap - steps * usual) > TOLERANCE * steps * usual:
            raise InputError(
                f"{file}, line {line}: the time {between} is no multiple of the usual step; without data.time the rows "
                "count as equally spaced"
            )
        if steps > 1 and not interpolate:
            raise InputError(
                f"{file}, line {line}: {steps - 1} steps are left out {between}; data.missing=interpolate fills them in"
            )
        places.append(places[-1] + steps)
        if places[-1] >= 2 * len(rows):  # Before there are arrays of that size.
            raise InputError(
                f"{file}, line {line}: more steps are left out than there are, the last of them {between}; is that "
                "time right, and data.time the column of times?"
            )
    return rows, np.array(places)


def _seconds(file: Path, line: int, text: str) -> float:
    """A time as a number: itself, or of a date the seconds since 1970. Eight digits are a date."""
    try:
        if not (len(text) == 8 and text.isdecimal()) and math.isfinite(float(text)):
            return float(text)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(f"{text}-01" if len(text) == 7 and text[4] == "-" else text)
    except ValueError:
        raise InputError(
            f"{file}, line {line}: the time {text!r} is no number, and no date such as 2001-12-31 or 2001-12"
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _with_blanks(row: Row, following: Row) -> list[Row]:
    return [row, *((line, [""]) for line in range(row[0] + 1, following[0]))]
