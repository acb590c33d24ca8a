"""Reads files of raw inputs in chunks, so that memory does not depend on their size."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from primer.data.readers.csv_rows import SkipRows, parse_delimiter
from primer.data.readers.folders import list_files
from primer.errors import InputError, suggest
from primer.prediction.recordings import list_recordings
from primer.prediction.videos import as_paths
from primer.spec import Image, Input, Interactions, Vector, Video, recording_of

CHUNK = 8192
"""The number of rows that are read at once."""
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
MAX_LINES = 100
"""The maximum number of lines of a row whose cells have line breaks."""


@dataclass
class Chunk:
    """Consecutive inputs of a file.

    Attributes:
        locations: the line of each input, or its file.
        inputs: the inputs without an error, as ``encode`` accepts them.
        errors: what is wrong with the other inputs, by position.
    """

    locations: list[Any] = field(default_factory=list)
    inputs: Any = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)

    def add(self, location: Any, value: Any = None, error: str | None = None) -> None:
        """Adds an input, or what is wrong with it."""
        if error is None:
            self.inputs.append(value)
        else:
            self.errors[len(self.locations)] = error
        self.locations.append(location)


Rows = Iterator[tuple[int | str, Any, str | None]]
"""The location of each input, the input, and what is wrong with it."""


def read_chunks(
    path: Path, kind: Input, columns: list[str], size: int, delimiter: str | None = None, skip_rows: SkipRows = 0
) -> Iterator[Chunk]:
    """Yields the inputs of a file, or of a folder of images, videos or recordings, in order.

    Args:
        path: the file or folder.
        kind: the inputs of the model.
        columns: the columns to read from a table; for texts, the column of the text.
        size: the number of inputs per chunk.
        delimiter: the character between cells of a CSV file; None for a comma.
        skip_rows: lines of a table to leave out; see ``read_rows``.

    Raises:
        InputError: if the file as a whole cannot be read.
    """
    rows = read_inputs(path, kind, columns, delimiter, skip_rows)
    while part := list(islice(rows, size)):
        chunk = Chunk()
        for row in part:
            chunk.add(*row)
        yield chunk


def read_inputs(
    path: Path, kind: Input, columns: list[str], delimiter: str | None = None, skip_rows: SkipRows = 0
) -> Rows:
    """Returns an iterator over the inputs of a file or folder; see ``read_chunks``."""
    suffix = path.suffix.lower()
    if recording_of(kind):
        return ((str(file), file, None) for file in list_recordings(path))
    if isinstance(kind, Image):
        files = [path / name for name in list_files(path, path)[0]] if path.is_dir() else [path]
        return ((str(file), file, None) for file in files)
    if isinstance(kind, Video):
        return ((str(video), video, None) for video in as_paths(path) or ())
    if suffix in (*TABLES, *JSON_LINES):
        table = suffix in TABLES
        separator = parse_delimiter(delimiter) if delimiter and suffix == ".csv" else TABLES.get(suffix, ",")
        rows = read_table(path, columns, separator, skip_rows) if table else read_json(path, columns)
        if isinstance(kind, Vector | Interactions):
            return rows
        (column,) = columns
        return ((location, value[column] if value else None, error) for location, value, error in rows)
    if isinstance(kind, Vector | Interactions):
        raise InputError(f"{path}: a table must be a file {', '.join([*TABLES, *JSON_LINES])}")
    return read_sentences(path) if suffix in (".conllu", ".conll") else read_texts(path)


def read_table(path: Path, columns: list[str], delimiter: str, skip_rows: SkipRows = 0) -> Rows:
    """Yields rows as dictionaries of cells, with the line on which each starts."""
    names: list[str] = []
    with open_text(path) as file:
        for line, cells, problem in read_records(file, delimiter, skip_rows):
            if not names:
                if problem:
                    raise InputError(f"{path}, line {line}: {problem}")
                names = [name or f"column {k}" for k, name in enumerate(cells, start=1)]
                check_header(path, line, names, columns)
            elif problem:
                yield line, None, problem
            elif len(cells) != len(names):
                yield line, None, f"{len(cells)} cells, but the header names {len(names)} columns"
            else:
                yield line, *check_encoding(dict(zip(names, cells, strict=True)), "".join(cells))


def read_records(
    lines: Iterable[str], delimiter: str, skip_rows: SkipRows = 0
) -> Iterator[tuple[int, list[str], str | None]]:
    """Yields the stripped cells of each row that is not blank, with the line on which it starts and what is wrong.

    A quote that is not closed within ``MAX_LINES`` lines spoils only the line that it is on.
    """
    skipped = range(1, skip_rows + 1) if isinstance(skip_rows, int) else skip_rows
    numbered = ((number, "\n" if number in skipped else line) for number, line in enumerate(lines, start=1))
    again: deque[tuple[int, str]] = deque()
    while row := next_line(again, numbered):
        record, problem = [row], None
        try:
            while (cells := parse_record([line for _, line in record], delimiter)) is None and len(record) < MAX_LINES:
                if (following := next_line(again, numbered)) is None:
                    break
                record.append(following)
        except csv.Error as error:
            cells, problem = [], str(error)
        if cells is None:
            problem = "a quote is not closed"
        if problem:
            again.extendleft(reversed(record[1:]))
        cells = [cell.strip() for cell in cells or []]
        if problem or cells not in ([], [""]):
            yield record[0][0], cells, problem


def next_line(again: deque[tuple[int, str]], numbered: Iterator[tuple[int, str]]) -> tuple[int, str] | None:
    """Returns the next line, first of those to read again; None at the end."""
    return again.popleft() if again else next(numbered, None)


def parse_record(lines: list[str], delimiter: str) -> list[str] | None:
    """Returns the cells of the row on these lines, or None if a quote is still open."""
    limit = csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines))))
    try:
        return next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return None
        raise
    finally:
        csv.field_size_limit(limit)


def check_header(path: Path, line: int, names: list[str], columns: list[str]) -> None:
    """Raises ``InputError`` if a column is missing, or two have the same name."""
    for name in columns:
        if name not in names:
            raise InputError(f"{path}, line {line}: there is no column {name!r}; {suggest(name, names)}")
        if names.count(name) > 1:
            raise InputError(f"{path}, line {line}: two columns are named {name!r}; names must be unique")


def read_json(path: Path, columns: list[str]) -> Rows:
    """Yields the objects of a file of JSON lines."""
    for line, text, problem in read_texts(path):
        if problem is None:
            try:
                yield line, *check_object(json.loads(text), columns)
            except (ValueError, RecursionError) as error:  # RecursionError: lists nested a thousand levels deep.
                yield line, None, f"malformed JSON: {error}"
        else:
            yield line, None, problem


def check_object(value: Any, columns: list[str]) -> tuple[Any, str | None]:
    """Returns the value; or, if it is not an object with these keys, None and what is wrong."""
    if not isinstance(value, dict):
        return None, "expected a JSON object"
    for name in columns:
        if name not in value:
            return None, f"there is no key {name!r}"
        if isinstance(value[name], dict | list):
            return None, f"{name!r} is neither a text nor a number"
    return value, None


def read_texts(path: Path) -> Rows:
    """Yields the lines of a file."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            text = line.removesuffix("\n").removesuffix("\r")
            yield number, *check_encoding(text, text)


def read_sentences(path: Path) -> Rows:
    """Yields the words of each sentence of a file in CoNLL-U format, with the line of its first word. Tags are not
    needed."""
    words: list[str] = []
    first, problem = 0, None
    for number, line, error in read_texts(path):
        text = line or ""
        if not error and not text.strip():
            if first:
                yield first, words or None, problem or (None if words else "the sentence has no words")
            words, first, problem = [], 0, None
            continue
        if text.startswith("#"):
            continue
        first = first or number
        cells = text.split("\t")
        if error or len(cells) < 2 or not cells[1]:
            problem = problem or f"line {number}: {error or 'there is no word in column 2'}"
        elif cells[0].isdecimal():  # Multiword tokens and empty nodes have other ids.
            words.append(cells[1])
    if first:
        yield first, words or None, problem or (None if words else "the sentence has no words")


def check_encoding(value: Any, text: str) -> tuple[Any, str | None]:
    """Returns the value; or, if bytes of its text are not UTF-8, None and what is wrong."""
    if text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text):
        return value, None
    return None, "some bytes are not UTF-8"


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Opens a file such that bytes that are not UTF-8 become surrogates, to be reported with their line. Lines end with
    a line feed."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
