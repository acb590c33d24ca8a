"""Reads texts and labels from CSV, TSV and JSON lines, and reports the line of malformed input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from primer.data.readers.cells import CellFormat, category_name
from primer.data.readers.csv_rows import read_cells
from primer.data.readers.lines import read_lines
from primer.errors import InputError

FORMATS = ("csv", "tsv", "jsonl")
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

Column = str | int
"""A column name, or a column number from 1."""


class LabeledRow(NamedTuple):
    """A text, its label, and their location: the file and the line. The label ``1.0`` is ``1``."""

    text: str
    label: str
    location: str


def read_labeled(
    path: Path, format: str, columns: tuple[Column, Column], header: bool, keep_default_na: bool = True
) -> list[LabeledRow]:
    """Returns the text and the label of each row.

    Args:
        path: the file.
        format: one of ``FORMATS``, or ``auto`` to infer it from the file's suffix.
        columns: the columns of the text and of the label.
        header: whether the first row of a table names its columns.
        keep_default_na: whether labels such as ``NaN`` and ``None`` are missing, see ``CellFormat``.

    Raises:
        InputError: if the file is malformed, or a label is missing, with the line.
    """
    labels = CellFormat(keep_default_na=keep_default_na)
    if format == "auto":
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: cannot infer the format from the suffix; set data.format to csv, tsv or jsonl")
        format = SUFFIXES[path.suffix.lower()]
    if columns[0] == columns[1]:
        raise InputError(f"data.text and data.label are both {columns[0]!r}: they must be different columns")
    records = read_json_lines(path) if format == "jsonl" else read_table(path, format, columns, header)
    rows = []
    for line, cells in records:
        location = f"{path}, line {line}"
        text, label = (get_text(cells, column, location) for column in columns)
        if not text.strip():
            raise InputError(f"{location}: the text is empty")
        if not label.strip():
            raise InputError(f"{location}: the label is empty")
        label = label.strip()
        if labels.is_missing(label):
            raise InputError(
                f"{location}: the label {label!r} stands for a missing value; remove the row, or set "
                "data.keep_default_na=false if it is a label"
            )
        rows.append(LabeledRow(text, category_name(label), location))
    return rows


def read_table(
    path: Path, format: str, columns: tuple[Column, Column], header: bool
) -> list[tuple[int, dict[Column, str]]]:
    """Returns the cells of each row, keyed by column name and by column number, with the line number."""
    if format == "csv":
        rows = read_cells(path)
    else:
        lines = enumerate(read_lines(path), start=1)
        rows = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in lines if line.strip()]
    if len(rows) < 1 + header:
        raise InputError(f"{path}, line 1: the file has no rows")
    first, width = rows[0][0], len(rows[0][1])
    names = rows.pop(0)[1] if header else []
    for column in columns:
        if column not in names and not (isinstance(column, int) and 1 <= column <= width):
            known = ", ".join(names) if header else f"1 to {width}, since data.header=false"
            raise InputError(f"{path}, line {first}: there is no column {column!r}; the columns are {known}")
        if names.count(str(column)) > 1:
            raise InputError(f"{path}, line {first}: two columns are named {column!r}; use the column's number instead")
    if len({names.index(column) + 1 if column in names else column for column in columns}) == 1:
        raise InputError(
            f"{path}, line {first}: data.text={columns[0]} and data.label={columns[1]} are the same column"
        )
    for line, cells in rows:
        if len(cells) != width:
            raise InputError(f"{path}, line {line}: {len(cells)} columns, but line {first} has {width}")
    return [(line, {**dict(enumerate(cells, 1)), **dict(zip(names, cells, strict=False))}) for line, cells in rows]


def read_json_lines(path: Path) -> list[tuple[int, dict[Column, Any]]]:
    """Returns the objects of a file, each with its line number."""
    rows: list[tuple[int, dict[Column, Any]]] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: lists nested a thousand levels deep.
            raise InputError(f"{path}, line {number}: malformed JSON: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f'{path}, line {number}: expected a JSON object such as {{"text": …, "label": …}}')
        rows.append((number, content))
    if not rows:
        raise InputError(f"{path}, line 1: the file has no JSON objects")
    return rows


def get_text(cells: dict[Column, Any], column: Column, location: str) -> str:
    """Returns a value as a string. Raises ``InputError`` if it is missing or not a scalar."""
    if column not in cells:
        raise InputError(f"{location}: there is no key {column!r}; the keys are {', '.join(map(str, cells))}")
    value = cells[column]
    if value is None or isinstance(value, dict | list):
        raise InputError(f"{location}: {column!r} is {json.dumps(value)[:40]}; expected a string")
    text = value if isinstance(value, str) else json.dumps(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{location}: {column!r} has half of a surrogate pair: {json.dumps(text)[:40]}")
    return text
