"""Reads CSV files as rows of text and reports the line of malformed input."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from primer.data.readers.lines import read_text
from primer.errors import InputError

Row = tuple[int, list[str]]
"""The line number of a row (of its first line), and its cells."""

MISSING = {"", "?", "na", "n/a", "nan", "null"}
"""Markers of a missing value, in lower case; matched case-insensitively."""


def read_rows(path: Path, delimiter: str = ",", least: int = 2) -> tuple[list[str], list[Row]]:
    """Returns the column names, and each row with its line number. Cells are stripped; missing values become "".

    Blank lines are skipped. A column without a name is named after its position: ``column 1``.

    Args:
        path: the file.
        delimiter: the character between cells.
        least: the minimum number of columns, 1 or 2.

    Raises:
        InputError: if the file cannot be read or is not a table, with the line.
    """
    content = read_cells(path, delimiter)
    if not content:
        raise InputError(f"{path}, line 1: the file is empty; expected the column names")
    (first, header), rows = content[0], content[1:]
    names = [name or f"column {k}" for k, name in enumerate(header, start=1)]
    if len(names) < least:
        raise InputError(f"{path}, line {first}: there is only one column, {names[0]!r}; is data.delimiter correct?")
    if duplicates := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{path}, line {first}: two columns are named {duplicates[0]!r}; names must be unique")
    if not rows:
        raise InputError(f"{path}, line {first + 1}: there are no rows after the column names")
    for line, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but the header names {len(names)} columns")
    return names, [(line, ["" if cell.lower() in MISSING else cell for cell in cells]) for line, cells in rows]


def read_cells(path: Path, delimiter: str = ",") -> list[Row]:
    """Returns each row that is not blank, with its line number. Cells are stripped.

    Raises:
        InputError: if the file cannot be read or is not a table, with the line.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[Row] = []
    line = 1
    limit = csv.field_size_limit(len(text))  # By default, cells of more than 131,072 characters are an error.
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if stripped not in ([], [""]):
                rows.append((line, stripped))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def parse_delimiter(name: str) -> str:
    """Returns the delimiter that a user means by ``name``: a character, or ``tab``.

    Raises:
        InputError: if it is not a single character, or not allowed as a delimiter.
    """
    delimiter = "\t" if name in ("tab", "\\t") else name
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError(f"delimiter must be a single character other than a quote or a line break, not {name!r}")
    return delimiter


def as_numbers(texts: list[str]) -> np.ndarray | None:
    """Converts cells to numbers, NaN for missing values. Returns None if a cell is not a number or all are missing."""
    try:
        return np.array([float(text) if text else math.nan for text in texts]) if any(texts) else None
    except ValueError:
        return None
