"""Reads files of ratings: tables with column names, and the layouts of MovieLens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np

from primer.data.readers.cells import CellFormat, category_name
from primer.data.readers.columns import TextColumn, to_numbers
from primer.data.readers.csv_rows import Row, read_cells
from primer.data.readers.lines import read_lines
from primer.data.readers.steps import parse_time
from primer.errors import InputError, suggest

COLUMNS: dict[str, tuple[str, ...]] = {
    "user": ("user", "user_id", "userId"),
    "item": ("item", "item_id", "itemId", "movie", "movie_id", "movieId"),
    "rating": ("rating",),
    "time": ("time", "timestamp"),
}
"""The columns of a file without column names, in this order, and how files call them."""
ALIASES = COLUMNS | {"session": ("session", "session_id", "sessionId", *COLUMNS["user"])}
"""How files call their columns, the first of those that a file has."""
DOUBLE_COLON = "::"
"""The separator of ``ratings.dat`` of MovieLens."""


def read_columns(
    path: Path, names: Mapping[str, str | None], optional: Sequence[str] = (), delimiter: str | None = None
) -> dict[str, TextColumn]:
    """Returns the columns of a file of ratings.

    Cells are separated by ``::``, tabs or commas, whichever the first line has. If its first two cells are followed by
    numbers, such as ``196 242 3 881250949``, the file does not have column names, and its columns are those of
    ``COLUMNS``: a time in place of an item is an error.

    Args:
        path: the file.
        names: for each of some keys of ``ALIASES``, the name of the column; None finds it.
        optional: the keys that may be missing.
        delimiter: the character between cells; None finds it.

    Returns:
        The columns that the file has, by key. None of their cells is missing.

    Raises:
        InputError: if the file cannot be read, a column or a cell is missing, with the line, or two of the columns are
            the same.
    """
    rows = read_separated(path, delimiter)
    if not rows:
        raise InputError(f"{path}, line 1: the file is empty; expected a row for each item of a user or session")
    first, cells = rows[0]
    number = CellFormat().number
    if len(cells) >= len(COLUMNS) - 1 and all(number(cell) is not None for cell in cells[2:4]):
        header = [*COLUMNS][: len(cells)] + [f"column {k}" for k in range(len(COLUMNS) + 1, len(cells) + 1)]
        if time := next((cell for cell in cells[:2] if is_date(cell)), None):
            raise InputError(
                f"{path}, line {first}: {time!r} is a time, but without column names, the columns are "
                f"{', '.join(COLUMNS)}: add a line of column names"
            )
    else:
        header, rows = cells, rows[1:]
    if not rows:
        raise InputError(f"{path}, line {first + 1}: there are no rows after the column names")
    columns: dict[str, TextColumn] = {}
    lines = [line for line, _ in rows]
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}, line {line}: {len(row)} cells, but expected {len(header)}: {', '.join(header)}")
    for key, name in names.items():
        found = [name] if name is not None else [known for known in ALIASES[key] if known in header]
        if not found and key in optional:
            continue
        if not found or found[0] not in header:
            hint = suggest(found[0] if found else key, header)
            setting = "" if name else f"; data.{key} names it"
            setting += "; is data.delimiter correct?" if len(header) == 1 else ""
            raise InputError(
                f"{path}, line {first}: there is no column {found[0] if found else key!r}; {hint}{setting}"
            )
        if header.count(found[0]) > 1:
            raise InputError(f"{path}, line {first}: two columns have the name {found[0]!r}")
        if same := next((other for other, column in columns.items() if column.name == found[0]), None):
            raise InputError(f"data.{same} and data.{key} are both the column {found[0]!r} of {path}")
        position = header.index(found[0])
        columns[key] = TextColumn(path, found[0], [row[position] for _, row in rows], lines)
        _check_present(columns[key])
    return columns


def read_separated(path: Path, delimiter: str | None = None) -> list[Row]:
    """Returns the stripped cells of each row that is not blank, with its line number; see ``read_columns``."""
    if delimiter is not None:
        return read_cells(path, delimiter)
    lines = read_lines(path)
    first = next((line for line in lines if line.strip()), "")
    if DOUBLE_COLON not in first:
        return read_cells(path, "\t" if "\t" in first else ",")
    return [
        (number, [cell.strip() for cell in line.split(DOUBLE_COLON)])
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def index_names(column: TextColumn) -> tuple[list[str], list[int]]:
    """Returns the distinct names of users or items in order of appearance, and the index of each cell among them."""
    names: dict[str, int] = {}
    codes = [names.setdefault(category_name(cell), len(names)) for cell in column.cells]
    return list(names), codes


def to_values(column: TextColumn) -> np.ndarray:
    """Returns a column of numbers, such as ratings.

    Raises:
        InputError: if a cell is not a number, with the line.
    """
    numbers = to_numbers(column, CellFormat(), has_settings=False)
    assert numbers is not None  # No cell is missing.
    return numbers


def to_times(column: TextColumn) -> np.ndarray:
    """Returns a column of numbers, or of dates as seconds since 1970.

    Raises:
        InputError: if a cell is neither, with the line.
    """
    if any(is_date(cell) for cell in column.cells[:1]):
        lines = zip(column.cells, column.lines, strict=True)
        return np.array([parse_time(cell, None, f"{column.file}, line {line}", False) for cell, line in lines])
    return to_values(column)


def is_date(cell: str) -> bool:
    """Whether a cell is a date, or a date and a time."""
    with suppress(ValueError):
        return CellFormat().number(cell) is None and datetime.fromisoformat(cell) is not None
    return False


def _check_present(column: TextColumn) -> None:
    """Raises ``InputError`` if a cell is missing."""
    is_missing = CellFormat().is_missing
    for k, cell in enumerate(column.cells):
        if is_missing(cell):
            raise InputError(f"{column.location(k)} is {'missing' if not cell else repr(cell) + ', a missing value'}")
