"""Tagged sentences from CoNLL-U files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from primer.data.base import Part, Records
from primer.data.readers.lines import find_file, find_files, read_lines
from primer.data.text.tagging import Sentence, Tagging
from primer.errors import InputError

COLUMNS = 10
FORM = 1
TAGS = {"upos": 3, "xpos": 4}


class CoNLLU(Tagging):
    """Files in the format of Universal Dependencies (https://universaldependencies.org/format.html): a line for each
    word with ten columns between tabs, an empty line after each sentence.

    Contractions (``1-2``) and words that are not there (``1.1``) are passed over: their parts have lines of their own.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. ``auto``
            is the file beside the training file that treebanks have: of ``en_ewt-ud-train.conllu``, that is
            ``en_ewt-ud-dev.conllu``. With None, or where there is no such file, a share of the training file is held
            out.
        column: the tags, ``upos`` (universal) or ``xpos`` (the corpus's own).
        kwargs: as in ``primer.data.text.tagging.Tagging``.

    Raises:
        ValueError: for another column; when the data is read, for a file that is missing or malformed.
    """

    def __init__(
        self,
        *,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        column: Literal["upos", "xpos"] = "upos",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if column not in TAGS:
            raise InputError(f"column must be one of {', '.join(TAGS)}, not {column!r}")
        self.column = column
        self.files = {"train": train, "dev": dev, "test": test}

    def read(self) -> dict[Part, Records]:
        wanted = "data.train, data.dev and data.test name CoNLL-U files"
        train = find_file(self.files["train"] or "", self.data_dir, wanted)
        files = {part: beside(train, part) if file == "auto" else file for part, file in self.files.items()}
        found = find_files(self.data_dir, wanted, **files)
        return {part: parse(path, self.column) for part, path in found.items()}


def beside(train: Path, part: str) -> str | None:
    """The file of another part in the folder of the training file; None where there is none."""
    file = train.with_name(train.name.replace("train", part))
    return str(file) if file != train and file.is_file() else None


def parse(path: Path, column: str = "upos") -> list[Any]:
    """The sentences of a CoNLL-U file.

    Raises:
        InputError: for a file that cannot be read, with the line where it breaks the format.
    """
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    lines: list[int] = []
    position = TAGS[column]
    commented = False
    content = read_lines(path)
    for number, line in enumerate([*content, ""], start=1):
        if line.startswith("#"):
            commented = True
            continue
        if not line.strip():
            if words:
                sentences.append(Sentence(tuple(words), tuple(tags), str(path), tuple(lines)))
                words, tags, lines = [], [], []
            elif commented and number < len(content):  # From there on it is the end of the file.
                raise InputError(
                    f"{path}, line {number}: the sentence is empty: no word follows its comments; leave them out too"
                )
            commented = False
            continue
        cells = line.split("\t")
        if len(cells) != COLUMNS:
            raise InputError(f"{path}, line {number}: {len(cells)} columns between tabs, not the {COLUMNS} of CoNLL-U")
        if not cells[0].isdecimal():
            if re.fullmatch(r"\d+[-.]\d+", cells[0]):
                continue
            raise InputError(f"{path}, line {number}: the id {cells[0]!r} is no number")
        if cells[0] != str(len(words) + 1):
            raise InputError(
                f"{path}, line {number}: the id is {cells[0]}, where {len(words) + 1} was expected; "
                "is an empty line missing?"
            )
        if not cells[FORM]:
            raise InputError(f"{path}, line {number}: there is no word in column {FORM + 1}")
        tag = cells[position]
        if tag in ("", "_"):
            raise InputError(
                f"{path}, line {number}: {cells[FORM]!r} has no {column} tag, which is column {position + 1}"
            )
        words.append(cells[FORM])
        tags.append(tag)
        lines.append(number)
    if not sentences:
        raise InputError(f"{path}, line 1: there is no sentence in this file")
    return sentences
