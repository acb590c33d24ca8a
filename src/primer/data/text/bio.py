"""Named entities from files with a word and its tag on each line."""

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
    """Files in the format of CoNLL-2003 (Tjong Kim Sang and De Meulder 2003): a line for each word, an empty line
    after each sentence. The word is the first column, between tabs where there are any, else between spaces.

    The tag of a word that is part of no entity is ``O``; of the first word of an entity, ``B-`` and the kind of the
    entity; of the others, ``I-`` and the kind (Ramshaw and Marcus 1995). A file may also keep ``B-`` for an entity
    that follows one of its own kind. Lines that begin with ``-DOCSTART-`` count as empty; several empty lines are one.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. Without
            ``dev`` or ``test``, a share of the training file is held out.
        column: that of the tags, from 1; -1 is the last one.
        kwargs: as in ``primer.data.text.tagging.Tagging``.

    Raises:
        ValueError: for the column of the words, or none; when the data is read, for a file that is missing or
            malformed.
    """

    def __init__(
        self, *, train: str, dev: str | None = None, test: str | None = None, column: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if column in (0, 1):
            raise InputError(f"column must be from 2, where the word is in 1, or -1 for the last, not {column}")
        self.column = column
        self.files = {"train": train, "dev": dev, "test": test}

    def read(self) -> dict[Part, Records]:
        wanted = "data.train, data.dev and data.test name files with a word and its tag on each line"
        files = find_files(self.data_dir, wanted, **self.files)
        return {part: parse(path, self.column) for part, path in files.items()}


def parse(path: Path, column: int = -1) -> list[Any]:
    """The sentences of a file.

    Raises:
        InputError: for a file that cannot be read, with the line where it breaks the format.
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
        # A no-break space is part of a word: French writes 10 000 with one.
        cells = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
        if not first:
            first, columns = number, len(cells)
        if len(cells) != columns:
            raise InputError(f"{path}, line {number}: {len(cells)} columns, where line {first} has {columns}")
        if columns < needed:
            raise InputError(
                f"{path}, line {number}: {columns} columns, where {needed} are needed: the word comes first"
            )
        rows.append((*word_and_tag(cells, column, f"{path}, line {number}"), number))
    if not sentences:
        raise InputError(f"{path}, line 1: there is no sentence in this file")
    return sentences


def word_and_tag(cells: list[str], column: int, place: str) -> tuple[str, str]:
    """The first cell and that of the tag. Raises ``InputError`` where they are no word and no tag."""
    word, tag = cells[0], cells[column if column < 0 else column - 1]
    if not word:
        raise InputError(f"{place}: there is no word in the first column")
    if not TAG.fullmatch(tag):
        raise InputError(f"{place}: the tag {tag!r} of {word!r} is not O, B- with a kind of entity or I- with one")
    return word, tag
