"""Reads columns of a CSV file as equally spaced time steps without gaps."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from primer.data.readers.cells import CellFormat
from primer.data.readers.columns import TextColumn, to_numbers
from primer.data.readers.csv_rows import Row, SkipRows, read_rows
from primer.errors import InputError, suggest

TOLERANCE = 0.1
"""Allowed relative deviation of a time step from the usual one: months and years vary in length."""

DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2})[./-](\d{1,4})(.*)")
"""A date with its parts in any order."""


def read_steps(
    file: Path,
    columns: list[str],
    time: str | None = None,
    delimiter: str = ",",
    interpolate: bool = False,
    time_format: str | None = None,
    format: CellFormat | None = None,
    skip_rows: SkipRows = 0,
) -> tuple[np.ndarray, int]:
    """Returns the steps in order, ``(steps, columns)``, and the line number of the last one.

    Args:
        file: the file, with column names in its first line and one row per step.
        columns: the columns to read.
        time: the column of times, used to sort rows and to find gaps. Without it, each row is a step and, in a file
            with a single column, so is each blank line between two rows.
        delimiter: the character between cells.
        interpolate: whether to fill empty cells and missing steps by linear interpolation.
        time_format: the format of times, as for ``datetime.strptime``; None for numbers and ISO 8601 dates.
        format: how numbers are written; the defaults of ``CellFormat`` if None.
        skip_rows: lines to leave out, see ``read_rows``.

    Raises:
        InputError: if a cell is empty or not a number, or the steps are not equally spaced, with the line.
    """
    format = format or CellFormat()
    names, rows = read_rows(file, delimiter, least=1, skip_rows=skip_rows, format=format)
    for name in [*columns, *([time] if time else [])]:
        if name not in names:
            raise InputError(f"{file} does not have a column {name!r}; {suggest(name, names)}")
    if len(names) == 1:
        rows = [row for pair in zip(rows, [*rows[1:], rows[-1]], strict=True) for row in _with_blanks(*pair)]
    positions = np.arange(len(rows))
    if time is not None:
        rows, positions = _sort_by_time(file, rows, names.index(time), interpolate, time_format)
    last, grid = rows[-1][0], np.arange(positions[-1] + 1)
    steps = []
    for name in columns:
        index = names.index(name)
        cells = [cells[index] for _, cells in rows]
        column = to_numbers(TextColumn(file, name, cells, [line for line, _ in rows]), format)
        column = np.full(len(rows), np.nan) if column is None else column
        known = np.flatnonzero(~np.isnan(column))
        for k in np.flatnonzero(np.isnan(column)):
            problem = f"{file}, line {rows[k][0]}: {name!r} is missing"
            if not interpolate:
                raise InputError(f"{problem}; set data.missing=interpolate to fill gaps")
            if not known.size or not known[0] < k < known[-1]:
                raise InputError(f"{problem} and there are no values on both sides to interpolate; remove the row")
        steps.append(np.interp(grid, positions[known], column[known]))
    return np.column_stack(steps), last


def _sort_by_time(
    file: Path, rows: list[Row], column: int, interpolate: bool, time_format: str | None
) -> tuple[list[Row], np.ndarray]:
    """Returns the rows sorted by time, and the step number of each, from 0."""
    times = [parse_time(cells[column], time_format, f"{file}, line {line}") for line, cells in rows]
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


def parse_time(text: str, time_format: str | None, location: str, has_setting: bool = True) -> float:
    """Converts a number, or a date to seconds since 1970. Without a format, eight digits are a date. Messages suggest
    ``data.time_format`` if the data set has that setting.

    Raises:
        InputError: if it is neither, or does not have the given format.
    """
    if time_format is None:
        with suppress(ValueError):
            if not (len(text) == 8 and text.isdecimal()) and math.isfinite(float(text)):
                return float(text)
    try:
        if time_format is not None:
            date = datetime.strptime(text, time_format)
        else:
            date = datetime.fromisoformat(f"{text}-01" if len(text) == 7 and text[4] == "-" else text)
    except ValueError:
        expected = "neither a number nor a date such as 2001-12-31 or 2001-12"
        if time_format is not None:
            expected = f"not a date in the format data.time_format={time_format}"
        hint = _suggest_format(text) if has_setting else ""
        raise InputError(f"{location}: the time {text!r} is {expected}{hint}") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _suggest_format(text: str) -> str:
    """Returns the settings that would read a date, for an error message."""
    match = DATE.fullmatch(text)
    if not match:
        return ""
    orders = ["Ymd"] if len(match[1]) == 4 else ["mdY", "dmY"] if match[2] == "/" else ["dmY"]
    formats = [match[2].join(f"%{part}" for part in order) for order in orders]
    rest = " %H:%M:%S"[: 3 * match[5].count(":") + 3] if match[5] else ""
    settings = [
        f"\"data.time_format='{format}{rest}'\"" if rest else f"data.time_format={format}" for format in formats
    ]
    return f"; set {' or '.join(settings)}"


def _with_blanks(row: Row, following: Row) -> list[Row]:
    """Returns the row, followed by an empty row for each blank line before the next one."""
    return [row, *((line, [""]) for line in range(row[0] + 1, following[0]))]
