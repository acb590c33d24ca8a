"""A text, of which the next character or subword is to be said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.readers.lines import find_file, read_lines
from primer.data.readers.tokenization import Characters, Subwords, Tokenizer
from primer.data.text.segments import TokenStream, next_token
from primer.errors import InputError
from primer.records import run_folder
from primer.spec import Spec

PROMPT = 100
"""Tokens of the test part that are continued by default."""
SHORT = 40
"""Characters of a paragraph, such as a title, that may come again."""


class Text(TokenStream):
    """Any text file in UTF-8; by default the documentation of Python that its own ``help()`` prints.

    The parts are stretches of the text in its order: the training part, the validation part, the test part. With
    folds, the test part is one of as many stretches of equal length. What is counted to split, and as ``train_size``,
    are characters.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        level: whether a token is a ``character`` or a ``subword``, learnt from the training part.
        vocabulary_size: of subwords.
        kwargs: as in ``primer.data.text.segments.TokenStream``.

    Raises:
        ValueError: for an unknown level; when the data is read, for a file that is missing, empty or not UTF-8.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        level: Literal["character", "subword"] = "character",
        vocabulary_size: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if level not in ("character", "subword"):
            raise InputError(f"level must be one of character, subword, not {level!r}")
        self.path, self.level, self.vocabulary_size = path, level, vocabulary_size
        self.tokenizer: Tokenizer | None = None

    def read(self) -> dict[Part, Records]:
        if self.path is None:
            return {"train": python_documentation()}  # type: ignore[dict-item]  # A string is a list of characters.
        file = find_file(self.path, self.data_dir, "data.path names a text file")
        text = "\n".join(read_lines(file))
        if not text.strip():
            raise InputError(f"{file}, line 1: there is no text in this file")
        return {"train": text}  # type: ignore[dict-item]

    def fit_spec(self, train: Any) -> Spec:
        self.tokenizer = Characters(train) if self.level == "character" else Subwords(train, self.vocabulary_size)
        return next_token(self.tokenizer.words, "character")

    def encode(self, records: Any) -> Batch:
        assert self.tokenizer is not None
        return self.stream(self.tokenizer.encode(records))

    def prompt(self, text: str | None = None) -> Tensor:
        assert self.tokenizer is not None
        return self.tokenizer.encode(text) if text else self.parts["test"].inputs[:PROMPT]  # type: ignore[union-attr]

    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """``sample.txt``: what was given and what was sampled, joined."""
        assert self.tokenizer is not None
        run_folder.write(folder / "sample.txt", self.tokenizer.decode(tokens) + "\n")

    def hold_out(self, records: Any, count: int) -> tuple[Any, Any]:
        border = len(records) - max(0, count)
        return records[:border], records[border:]

    def split_fold(self, records: Any) -> tuple[Any, Any]:
        assert self.folds is not None
        if self.folds > len(records):
            raise InputError(f"folds={self.folds}, but there are only {len(records)} characters")
        borders = np.linspace(0, len(records), self.folds + 1).astype(int)
        first, last = borders[self.fold], borders[self.fold + 1]
        return records[:first] + records[last:], records[first:last]


def python_documentation() -> str:
    """The topics of Python's ``help()``, one after the other, without the paragraphs that stood in one before, so that
    no part holds what another one does: some 370,000 characters, a little others in each version of Python."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    return "\n".join("\n\n".join(_new_paragraphs(topic, seen)) for topic in topics.values())


def _new_paragraphs(topic: str, seen: set[str]) -> Iterator[str]:
    for paragraph in topic.split("\n\n"):
        words = " ".join(paragraph.split())
        if len(words) <= SHORT or words not in seen:
            yield paragraph
        seen.add(words)
