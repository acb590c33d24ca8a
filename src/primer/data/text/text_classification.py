"""Text classification data sets."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.readers.labeled_rows import FORMATS, LabeledRow, read_labeled
from primer.data.readers.lines import find_files
from primer.data.readers.vocabulary import vocabulary
from primer.data.text.encoding import encode_tokens, tokenize
from primer.data.text.masking import Maskable
from primer.errors import InputError
from primer.spec import Classes, Spec, Tokens


class LabeledText(NamedTuple):
    """The tokens of a text, its label and, for messages, its location."""

    tokens: tuple[str, ...]
    label: str
    location: str = ""


class LabeledTexts(Maskable):
    """Base class of data sets of texts with one class each. A subclass defines ``read``.

    The vocabulary holds the tokens of the training part; any other token is unknown.

    Attributes:
        tokenizer: how a new text becomes tokens (see ``primer.spec.Tokens``).
        lowercase: whether the tokens are in lower case.

    Args:
        min_count: minimum number of occurrences in the training part for a token to enter the vocabulary. With 2 or
            more, rare tokens train the model's representation of unknown tokens.
        max_length: number of tokens to which texts are truncated; None to keep all.
        **kwargs: see ``primer.data.text.masking.Maskable``.

    Raises:
        InputError: if ``min_count`` or ``max_length`` is less than 1; when the data is read, if a label does not occur
            in the training part, or the training part has only one label.
    """

    inputs = Tokens
    targets = Classes
    tokenizer: ClassVar[str] = "whitespace"
    lowercase: bool = False

    def __init__(self, *, min_count: int = 1, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, number in (("min_count", min_count), ("max_length", max_length)):
            if number is not None and number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        self.min_count, self.max_length = min_count, max_length

    def labels(self, records: list[LabeledText]) -> np.ndarray:
        return np.array([text.label for text in records])

    def fit_spec(self, train: list[LabeledText]) -> Spec:
        tokens = (token for text in train for token in text.tokens[: self.max_length])
        words = vocabulary(tokens, self.min_count, self.known_words)
        names = sorted({text.label for text in train}, key=_numbers_first)
        if len(names) < 2:
            raise InputError(f"all training texts have the label {names[0]!r}; at least two labels are needed")
        kind = Tokens(words, tokenizer=self.tokenizer, lowercase=self.lowercase, max_length=self.max_length)
        return Spec(kind, Classes(tuple(names)))

    def encode(self, records: list[LabeledText]) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Classes)
        classes = {name: k for k, name in enumerate(self.spec.target.names)}
        for text in records:
            if text.label not in classes:
                location = f"{text.location}: " if text.location else ""
                remedy = "correct it, remove such texts, or add some to the training part"
                raise InputError(
                    f"{location}the label {text.label!r} does not occur in {self.describe_training_set()}, "
                    "so it cannot be learned: " + ("increase data.train_size" if self.train_size else remedy)
                )
        targets = torch.tensor([classes[text.label] for text in records], dtype=torch.int64)
        return encode_tokens([text.tokens for text in records], self.spec.input)._replace(targets=targets)


class TextClassification(LabeledTexts):
    """Texts and their labels from CSV, TSV or JSON lines.

    A text is split into words and punctuation: a token is a run of letters, digits and underscores, possibly with
    apostrophes inside, or any other character that is not whitespace. ``Don't stop!`` becomes ``don't``, ``stop``,
    ``!``.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. Without
            ``dev`` or ``test``, a fraction of the training file is held out, stratified by label; the only text of a
            label is not held out.
        format: ``csv``; ``tsv``, without quoting, so that cells cannot contain tabs or line breaks; ``jsonl``, one
            object per line; or ``auto`` to infer it from the file's suffix.
        text, label: column names, or column numbers from 1; keys for JSON lines.
        header: whether the first row of a table names the columns; without it, columns are given by number.
        keep_default_na: whether a label such as ``NaN``, ``None`` or ``?`` is missing, which is an error.
        lowercase: whether to ignore the case of words.
        drop_duplicates: whether to keep only the first of several equal texts in a file. Otherwise, the same text may
            be in the training part and in a held-out part.
        **kwargs: see ``LabeledTexts``.

    Raises:
        InputError: if ``format`` is unknown; when the data is read, if a file is missing or malformed, with the line.
    """

    tokenizer = "words"

    def __init__(
        self,
        *,
        train: str,
        dev: str | None = None,
        test: str | None = None,
        format: Literal["auto", "csv", "tsv", "jsonl"] = "auto",
        text: str | int = "text",
        label: str | int = "label",
        header: bool = True,
        keep_default_na: bool = True,
        lowercase: bool = True,
        drop_duplicates: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if format not in ("auto", *FORMATS):
            raise InputError(f"format must be one of auto, {', '.join(FORMATS)}, not {format!r}")
        self.files = {"train": train, "dev": dev, "test": test}
        self.format, self.columns, self.header = format, (text, label), header
        self.keep_default_na, self.lowercase, self.drop_duplicates = keep_default_na, lowercase, drop_duplicates

    def read(self) -> dict[Part, Records]:
        files = find_files(
            self.data_dir, "data.train, data.dev and data.test name CSV, TSV or JSON lines files", **self.files
        )
        return {
            part: self._tokenize(read_labeled(path, self.format, self.columns, self.header, self.keep_default_na))
            for part, path in files.items()
        }

    def _tokenize(self, rows: list[LabeledRow]) -> list[Any]:
        texts = [LabeledText(tuple(tokenize(row.text, self.lowercase)), row.label, row.location) for row in rows]
        if not self.drop_duplicates:
            return texts
        unique: dict[tuple[str, ...], LabeledText] = {}
        for text in texts:
            unique.setdefault(text.tokens, text)
        return list(unique.values())


def _numbers_first(label: str) -> tuple[bool, float, str]:
    """Sort key: integers first, in numerical order, then other labels in alphabetical order."""
    number = label.removeprefix("-").isdecimal()
    return not number, float(label) if number else 0.0, label
