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
    """Tagged sentences in CoNLL-U format (https://universaldependencies.org/format.html): one word per line with ten
    tab-separated columns, and an empty line after each sentence.

    Multiword tokens (``1-2``) and empty nodes (``1.1``) are skipped; the words of a multiword token have lines of their
    own.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. ``auto``
            is the corresponding file next to the training file, named as in Universal Dependencies treebanks: for
            ``en_ewt-ud-train.conllu``, ``en_ewt-ud-dev.conllu``. With None, or if there is no such file, a fraction of
            the training file is held out.
        column: the tags, ``upos`` (universal) or ``xpos`` (language-specific).
        **kwargs: see ``primer.data.text.tagging.Tagging``.

    Raises:
        InputError: if ``column`` is invalid; when the data is read, if a file is missing or malformed.
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
        hint = "data.train, data.dev and data.test name CoNLL-U files"
        train = find_file(self.files["train"] or "", self.data_dir, hint)
        files = {part: sibling_file(train, part) if file == "auto" else file for part, file in self.files.items()}
        paths = find_files(self.data_dir, hint, **files)
        return {part: read_conllu(path, self.column) for part, path in paths.items()}


def sibling_file(train: Path, part: str) -> str | None:
    """Returns the file of another part next to the training file, or None if there is none."""
    file = train.with_name(train.name.replace("train", part))
    return str(file) if file != train and file.is_file() else None


def read_conllu(path: Path, column: str | None = "upos") -> list[Any]:
    """Returns the sentences of a CoNLL-U file.

    Args:
        path: the file.
        column: the tags; None reads words only, whether or not they are tagged.

    Raises:
        InputError: if the file cannot be read or is malformed, with the line.
    """
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    lines: list[int] = []
    tag_index = TAGS[column] if column else FORM
    has_comment = False
    content = read_lines(path)
    for number, line in enumerate([*content, ""], start=1):
        if line.startswith("#"):
            has_comment = True
            continue
        if not line.strip():
            if words:
                sentences.append(Sentence(tuple(words), tuple(tags), str(path), tuple(lines)))
                words, tags, lines = [], [], []
            elif has_comment and number < len(content):  # Comments at the end of the file are allowed.
                raise InputError(
                    f"{path}, line {number}: the sentence has comments but no words; add words or remove the comments"
                )
            has_comment = False
            continue
        cells = line.split("\t")
        if len(cells) != COLUMNS:
            raise InputError(f"{path}, line {number}: {len(cells)} tab-separated columns, but CoNLL-U has {COLUMNS}")
        if not cells[0].isdecimal():
            if re.fullmatch(r"\d+[-.]\d+", cells[0]):
                continue
            raise InputError(f"{path}, line {number}: the id {cells[0]!r} is not a number")
        if cells[0] != str(len(words) + 1):
            raise InputError(
                f"{path}, line {number}: the id is {cells[0]}, but {len(words) + 1} was expected; "
                "is an empty line missing?"
            )
        if not cells[FORM]:
            raise InputError(f"{path}, line {number}: column {FORM + 1}, the word, is empty")
        tag = cells[tag_index]
        if tag in ("", "_"):
            raise InputError(
                f"{path}, line {number}: {cells[FORM]!r} does not have a tag in column {tag_index + 1} ({column})"
            )
        words.append(cells[FORM])
        tags.append(tag)
        lines.append(number)
    if not sentences:
        raise InputError(f"{path}, line 1: the file has no sentences")
    return sentences
