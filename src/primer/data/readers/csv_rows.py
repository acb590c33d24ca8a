"""Reads CSV files as rows of text and reports the line of malformed input."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from primer.data.readers.cells import CellFormat
from primer.data.readers.lines import read_text
from primer.errors import InputError

Row = tuple[int, list[str]]
"""The line number of a row (of its first line), and its cells."""

SkipRows = int | Sequence[int]
"""The number of lines at the start of a file to leave out, or the numbers of the lines, from 1."""


def read_rows(
    path: Path,
    delimiter: str = ",",
    least: int = 2,
    skip_rows: SkipRows = 0,
    format: CellFormat | None = None,
) -> tuple[list[str], list[Row]]:
    """Returns the column names, and each row with its line number. Cells are stripped; missing values become "".

    Blank lines are skipped. A column without a name is named after its position: ``column 1``.

    Args:
        path: the file.
        delimiter: the character between cells.
        least: the minimum number of columns, 1 or 2.
        skip_rows: the number of lines before the column names, or the numbers of the lines to leave out, from 1.
        format: how missing values are marked; the defaults of ``CellFormat`` if None.

    Raises:
        InputError: if the file cannot be read or is not a table, with the line.
    """
    content = read_cells(path, delimiter, skip_rows)
    if not content:
        raise InputError(f"{path}, line 1: the file is empty; expected the column names")
    (first, header), rows = content[0], content[1:]
    names = [name or f"column {k}" for k, name in enumerate(header, start=1)]
    if len(names) < least:
        raise InputError(
            f"{path}, line {first}: there is only one column, {names[0]!r}; is data.delimiter correct? "
            "data.skip_rows leaves out lines before the column names"
        )
    if duplicates := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise InputError(f"{path}, line {first}: two columns are named {duplicates[0]!r}; names must be unique")
    if not rows:
        raise InputError(f"{path}, line {first + 1}: there are no rows after the column names")
    for line, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but the header names {len(names)} columns")
    is_missing = (format or CellFormat()).is_missing
    return names, [(line, ["" if is_missing(cell) else cell for cell in cells]) for line, cells in rows]


def read_cells(path: Path, delimiter: str = ",", skip_rows: SkipRows = 0) -> list[Row]:
    """Returns each row that is not blank, with its line number. Cells are stripped.

    Args:
        path: the file.
        delimiter: the character between cells.
        skip_rows: see ``read_rows``.

    Raises:
        InputError: if the file cannot be read or is not a table, with the line.
    """
    text = blank_lines(read_text(path), skip_rows)
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


def parse_skip_rows(skip_rows: SkipRows) -> SkipRows:
    """Returns the setting. Raises ``InputError`` if it is negative, or a line number is less than 1."""
    if (skip_rows if isinstance(skip_rows, int) else min(skip_rows, default=1) - 1) < 0:
        raise InputError(
            f"skip_rows must be the number of lines before the column names, or a list of line numbers from 1, not "
            f"{skip_rows}"
        )
    return skip_rows if isinstance(skip_rows, int) else list(skip_rows)


def blank_lines(text: str, skip_rows: SkipRows) -> str:
    """Empties the lines to leave out, so that the line numbers of the others do not change."""
    if not skip_rows:
        return text
    lines = io.StringIO(text, newline="").readlines()
    skipped = range(1, skip_rows + 1) if isinstance(skip_rows, int) else skip_rows
    for number in skipped:
        if number <= len(lines):
            lines[number - 1] = "\n"
    return "".join(lines)
