"""Reads texts and labels from CSV, TSV and JSON lines, and says where a file is malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from primer.data.readers.csv_rows import read_cells
from primer.data.readers.lines import read_lines
from primer.errors import InputError

FORMATS = ("csv", "tsv", "jsonl")
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

Column = str | int
"""A column by its name, or by its place from 1."""


class Row(NamedTuple):
    """A text, its label, and where they stand: the file and the line."""

    text: str
    label: str
    place: str


def read_labelled(path: Path, format: str, columns: tuple[Column, Column], header: bool) -> list[Row]:
    """The text and the label of each row.

    Args:
        path: the file.
        format: one of ``FORMATS``, or ``auto`` for the one that the file's name tells.
        columns: of the text and of the label.
        header: whether the first row of a table names its columns.

    Raises:
        InputError: for a file that is malformed, with the line.
    """
    if format == "auto":
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: what is in it does not show in its name; set data.format=csv, tsv or jsonl")
        format = SUFFIXES[path.suffix.lower()]
    if columns[0] == columns[1]:
        raise InputError(f"data.text and data.label are both {columns[0]!r}: must be two columns")
    read = read_json_lines(path) if format == "jsonl" else read_table(path, format, columns, header)
    rows = []
    for line, cells in read:
        place = f"{path}, line {line}"
        text, label = (pick(cells, column, place) for column in columns)
        if not text.strip():
            raise InputError(f"{place}: the text is empty")
        if not label.strip():
            raise InputError(f"{place}: the label is empty")
        rows.append(Row(text, label.strip(), place))
    return rows


def read_table(
    path: Path, format: str, columns: tuple[Column, Column], header: bool
) -> list[tuple[int, dict[Column, str]]]:
    """The cells of each row by the name and by the place of their column, with the number of their line."""
    if format == "csv":
        rows = read_cells(path)
    else:
        lines = enumerate(read_lines(path), start=1)
        rows = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in lines if line.strip()]
    if len(rows) < 1 + header:
        raise InputError(f"{path}, line 1: there is no row with a text and a label in this file")
    first, width = rows[0][0], len(rows[0][1])
    names = rows.pop(0)[1] if header else []
    for column in columns:
        if column not in names and not (isinstance(column, int) and 1 <= column <= width):
            known = ", ".join(names) if header else f"1 to {width}, since data.header=false"
            raise InputError(f"{path}, line {first}: there is no column {column!r}; there are {known}")
        if names.count(str(column)) > 1:
            raise InputError(f"{path}, line {first}: two columns are called {column!r}; name one by its place")
    if len({names.index(column) + 1 if column in names else column for column in columns}) == 1:
        raise InputError(f"{path}, line {first}: data.text={columns[0]} and data.label={columns[1]} are one column")
    for line, cells in rows:
        if len(cells) != width:
            raise InputError(f"{path}, line {line}: {len(cells)} columns, where line {first} has {width}")
    return [(line, {**dict(enumerate(cells, 1)), **dict(zip(names, cells, strict=False))}) for line, cells in rows]


def read_json_lines(path: Path) -> list[tuple[int, dict[Column, Any]]]:
    """The objects of a file, each with the number of its line."""
    rows: list[tuple[int, dict[Column, Any]]] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:  # RecursionError: lists in lists, a thousand deep.
            raise InputError(f"{path}, line {number}: malformed JSON: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f'{path}, line {number}: a JSON object was expected, such as {{"text": …, "label": …}}')
        rows.append((number, content))
    if not rows:
        raise InputError(f"{path}, line 1: there is no JSON object in this file")
    return rows


def pick(cells: dict[Column, Any], column: Column, place: str) -> str:
    """One value as a text. Raises ``InputError`` where there is none."""
    if column not in cells:
        raise InputError(f"{place}: there is no {column!r}; there are {', '.join(map(str, cells))}")
    value = cells[column]
    if value is None or isinstance(value, dict | list):
        raise InputError(f"{place}: {column!r} is {json.dumps(value)[:40]}, where a text was expected")
    found = value if isinstance(value, str) else json.dumps(value)
    if not found.isascii() and any("\ud800" <= sign <= "\udfff" for sign in found):
        raise InputError(f"{place}: {column!r} holds half a character: {json.dumps(found)[:40]}")
    return found
