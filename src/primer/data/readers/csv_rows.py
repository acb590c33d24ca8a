"""Reads a CSV file as rows of text, and says where it is malformed."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from primer.data.readers.lines import read_text
from primer.errors import InputError

Row = tuple[int, list[str]]
"""The number of a row's first line in the file, and its cells."""

MISSING = {"", "?", "na", "n/a", "nan", "null"}
"""What stands for a missing value, in small letters or large."""


def read_rows(path: Path, delimiter: str = ",", least: int = 2) -> tuple[list[str], list[Row]]:
    """The names of the columns, and each row with the number of its line. Cells are stripped; a missing one is "".

    Blank lines are skipped. A column without a name is called by its place: ``column 1``. Fewer columns than ``least``,
    1 or 2, are refused.

    Raises:
        InputError: where the file cannot be read, or is no table, with its line.
    """
    found = read_cells(path, delimiter)
    if not found:
        raise InputError(f"{path}, line 1: the file is empty, where the names of the columns were expected")
    (first, header), rows = found[0], found[1:]
    names = [name or f"column {k}" for k, name in enumerate(header, start=1)]
    if len(names) < least:
        raise InputError(f"{path}, line {first}: there is one column alone, {names[0]!r}; is data.delimiter right?")
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{path}, line {first}: two columns are called {twice[0]!r}; each needs a name of its own")
    if not rows:
        raise InputError(f"{path}, line {first + 1}: no row follows the names of the columns")
    for line, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, where the header names {len(names)} columns")
    return names, [(line, ["" if cell.lower() in MISSING else cell for cell in cells]) for line, cells in rows]


def read_cells(path: Path, delimiter: str = ",") -> list[Row]:
    """Each row that is not blank, with the number of its line. Cells are stripped.

    Raises:
        InputError: where the file cannot be read, or is no table, with its line.
    """
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    found: list[Row] = []
    line = 1
    limit = csv.field_size_limit(len(text))  # By default a cell of 131,073 characters is an error.
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if stripped not in ([], [""]):
                found.append((line, stripped))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return found


def delimiter_of(name: str) -> str:
    """The character between two cells, by what a user calls it.

    Raises:
        InputError: where it is not one, or cannot stand there.
    """
    delimiter = "\t" if name in ("tab", "\\t") else name
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError(f"delimiter must be one character that is no quote and ends no line, not {name!r}")
    return delimiter


def as_numbers(texts: list[str]) -> np.ndarray | None:
    """Cells as numbers, NaN for a missing one; None where one is no number or all are missing."""
    try:
        return np.array([float(text) if text else math.nan for text in texts]) if any(texts) else None
    except ValueError:
        return None
