"""Named-entity recognition data in CoNLL-2003 format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from primer.data.base import Part, Records
from primer.data.readers.lines import find_files, read_lines
from primer.data.text.tagging import Sentence, Tagging
from primer.errors import InputError

TAG = re.compile(r"O|[BI]-.+")


class BIO(Tagging):
    """Tagged sentences in CoNLL-2003 format (Tjong Kim Sang and De Meulder 2003): one word per line, and an empty line
    after each sentence. Columns are separated by tabs, or by spaces if a line has no tabs; the word is the first one.

    Words outside of entities are tagged ``O``, the first word of an entity ``B-`` and its type, and other words of an
    entity ``I-`` and its type (Ramshaw and Marcus 1995). Files that use ``B-`` only between adjacent entities of the
    same type are also accepted. Lines that start with ``-DOCSTART-`` count as empty; repeated empty lines count as one.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. Without
            ``dev`` or ``test``, a fraction of the training file is held out.
        column: the column of the tags, from 1; -1 is the last one.
        **kwargs: see ``primer.data.text.tagging.Tagging``.

    Raises:
        InputError: if ``column`` is invalid; when the data is read, if a file is missing or malformed.
    """

    def __init__(
        self, *, train: str, dev: str | None = None, test: str | None = None, column: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if column in (0, 1):
            raise InputError(f"column must be at least 2 (column 1 is the word), or -1 for the last, not {column}")
        self.column = column
        self.files = {"train": train, "dev": dev, "test": test}

    def read(self) -> dict[Part, Records]:
        hint = "data.train, data.dev and data.test name files with a word and its tag on each line"
        files = find_files(self.data_dir, hint, **self.files)
        return {part: read_bio(path, self.column) for part, path in files.items()}


def read_bio(path: Path, column: int = -1) -> list[Any]:
    """Returns the sentences of a file.

    Raises:
        InputError: if the file cannot be read or is malformed, with the line.
    """
    sentences: list[Sentence] = []
    rows: list[tuple[str, str, int]] = []
    first = columns = 0
    needed = column if column > 0 else 1 - column
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if rows:
                words, tags, lines = zip(*rows, strict=True)
                sentences.append(Sentence(words, tags, str(path), lines))
                rows = []
            continue
        line = line.rstrip(" \t")
        # Split at plain spaces only: a no-break space is part of a word, as in the French "10 000".
        cells = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
        if not first:
            first, columns = number, len(cells)
        if len(cells) != columns:
            raise InputError(f"{path}, line {number}: {len(cells)} columns, but line {first} has {columns}")
        if columns < needed:
            raise InputError(f"{path}, line {number}: {columns} columns, but at least {needed} are needed")
        rows.append((*parse_row(cells, column, f"{path}, line {number}"), number))
    if not sentences:
        raise InputError(f"{path}, line 1: the file has no sentences")
    return sentences


def parse_row(cells: list[str], column: int, location: str) -> tuple[str, str]:
    """Returns the word and its tag. Raises ``InputError`` if either is malformed."""
    word, tag = cells[0], cells[column if column < 0 else column - 1]
    if not word:
        raise InputError(f"{location}: the first column, the word, is empty")
    if not TAG.fullmatch(tag):
        raise InputError(f"{location}: the tag {tag!r} of {word!r} must be O, or B- or I- and an entity type")
    return word, tag
