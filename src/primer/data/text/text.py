"""Language modeling on a text file, with characters or subwords as tokens."""

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
from primer.data.text.token_stream import TokenStream, next_token_spec
from primer.errors import InputError
from primer.records import run_folder
from primer.spec import Spec

PROMPT = 100
"""Length of the default prompt, taken from the test part, in tokens."""
SHORT = 40
"""Maximum length of paragraphs, such as titles, that may be repeated, in characters."""


class Text(TokenStream):
    """A UTF-8 text file; by default, the Python documentation that ``help()`` prints.

    The training, validation and test parts are consecutive spans of the text. With folds, the text is divided into
    ``folds`` spans of equal length, one of which is the test part. Fractions and ``train_size`` refer to characters.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        level: whether a token is a ``character`` or a ``subword``. The characters are those of the training part, and
            those that trained weights know; subwords are learned from the training part.
        vocabulary_size: number of subwords.
        **kwargs: see ``primer.data.text.token_stream.TokenStream``.

    Raises:
        InputError: if ``level`` is unknown; when the data is read, if the file is missing, empty or not UTF-8.
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
            raise InputError(f"{file}, line 1: the file has no text")
        return {"train": text}  # type: ignore[dict-item]

    def fit_spec(self, train: Any) -> Spec:
        if self.level == "character":
            self.tokenizer = Characters(train, (word for word in self.known_words if len(word) == 1))
        else:
            self.tokenizer = Subwords(train, self.vocabulary_size)
        tokenizer = "characters" if self.level == "character" else "none"
        return next_token_spec(self.tokenizer.words, "character", tokenizer)

    def encode(self, records: Any) -> Batch:
        assert self.tokenizer is not None
        return self.to_batch(self.tokenizer.encode(records))

    def prompt(self, text: str | None = None) -> Tensor:
        assert self.tokenizer is not None
        return self.tokenizer.encode(text) if text else self.parts["test"].inputs[:PROMPT]  # type: ignore[union-attr]

    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """Writes the prompt and its continuation to ``sample.txt``."""
        assert self.tokenizer is not None
        run_folder.write(folder / "sample.txt", self.tokenizer.decode(tokens) + "\n")

    def hold_out(self, records: Any, count: int) -> tuple[Any, Any]:
        boundary = len(records) - max(0, count)
        return records[:boundary], records[boundary:]

    def split_fold(self, records: Any) -> tuple[Any, Any]:
        assert self.folds is not None
        if self.folds > len(records):
            raise InputError(f"folds={self.folds}, but there are only {len(records)} characters")
        boundaries = np.linspace(0, len(records), self.folds + 1).astype(int)
        start, end = boundaries[self.fold], boundaries[self.fold + 1]
        return records[:start] + records[end:], records[start:end]


def python_documentation() -> str:
    """Returns the concatenated topics of Python's ``help()``. Paragraphs that occurred in an earlier topic are removed,
    so that parts do not overlap. About 370,000 characters, slightly different for each Python version."""
    from pydoc_data.topics import topics

    seen: set[str] = set()
    return "\n".join("\n\n".join(_new_paragraphs(topic, seen)) for topic in topics.values())


def _new_paragraphs(topic: str, seen: set[str]) -> Iterator[str]:
    for paragraph in topic.split("\n\n"):
        words = " ".join(paragraph.split())
        if len(words) <= SHORT or words not in seen:
            yield paragraph
        seen.add(words)
