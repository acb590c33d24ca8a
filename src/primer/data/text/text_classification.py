"""Texts with a label each."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.readers.labelled_rows import FORMATS, Row, read_labelled
from primer.data.readers.lines import find_files
from primer.data.readers.vocabulary import indices, padded, vocabulary
from primer.errors import InputError
from primer.spec import PADDING, Classes, Spec, Tokens

TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
"""A run of letters, digits and underscores, which may hold apostrophes; or any other character by itself."""


class Text(NamedTuple):
    """The tokens of a text, its label, and, for messages, where it stands."""

    tokens: tuple[str, ...]
    label: str
    place: str = ""


class LabelledTexts(DataModule):
    """The base of data sets whose samples are texts of one class each. A subclass says how they are read.

    The vocabulary is that of the training part. Any other token is unknown.

    Args:
        min_count: how often a token must stand in the training part to have an entry of its own. From 2 on, rarer
            ones teach the model what to make of an unknown one.
        max_length: how many tokens of a text are kept, from its start; None for all.
        kwargs: as in ``primer.data.base.DataModule``.

    Raises:
        ValueError: for a count or a length under 1; when the data is read, for a label that the training part does not
            have, or for one label alone.
    """

    inputs = Tokens
    targets = Classes

    def __init__(self, *, min_count: int = 1, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, number in (("min_count", min_count), ("max_length", max_length)):
            if number is not None and number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        self.min_count, self.max_length = min_count, max_length

    def labels(self, records: list[Text]) -> np.ndarray:
        return np.array([text.label for text in records])

    def fit_spec(self, train: list[Text]) -> Spec:
        words = vocabulary((token for text in train for token in text.tokens[: self.max_length]), self.min_count)
        names = sorted({text.label for text in train}, key=_numbers_first)
        if len(names) < 2:
            raise InputError(f"every text of the training part has the label {names[0]!r}: there is nothing to learn")
        return Spec(Tokens(words), Classes(tuple(names)))

    def encode(self, records: list[Text]) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Classes)
        classes = {name: k for k, name in enumerate(self.spec.target.names)}
        for text in records:
            if text.label not in classes:
                place = f"{text.place}: " if text.place else ""
                remedy = "correct it, leave such texts out, or add some to those for training"
                raise InputError(
                    f"{place}the label {text.label!r} does not occur in {self.describe_training_set()}, "
                    "so it cannot be learnt: " + ("take more of them" if self.train_size else remedy)
                )
        inputs = indices((text.tokens[: self.max_length] for text in records), self.spec.input.vocabulary)
        lengths = torch.tensor([len(tokens) for tokens in inputs], dtype=torch.int64)
        targets = torch.tensor([classes[text.label] for text in records], dtype=torch.int64)
        return Batch(padded(inputs, PADDING), targets, lengths)


class TextClassification(LabelledTexts):
    """Texts and their labels from CSV, TSV or JSON lines.

    A text is split into words and punctuation: a run of letters, digits and underscores is a token, apostrophes
    within it too, and so is any other character that is no space. ``Don't stop!`` is ``don't``, ``stop``, ``!``.

    Args:
        train, dev, test: the files. A relative path is looked up in ``data_dir``, then in the current folder. Without
            ``dev`` or ``test``, a share of the training file is held out, with the same share of each label; a text
            that is the only one of its label stays.
        format: ``csv``; ``tsv``, which knows no quotation marks, so that no cell holds a tab or a line end; ``jsonl``,
            an object on each line. ``auto`` goes by the file's name.
        text, label: the names of the columns, or their places from 1; of JSON lines the keys.
        header: whether the first row of a table names the columns; without one they go by their places.
        lowercase: whether words that differ in case alone are the same.
        drop_duplicates: whether a text that stands in a file several times is kept once: else it may be in the training
            part and in one that is held out.
        kwargs: as in ``LabelledTexts``.

    Raises:
        ValueError: for an unknown format; when the data is read, for a file that is missing or malformed, with the
            line.
    """

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
        lowercase: bool = True,
        drop_duplicates: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if format not in ("auto", *FORMATS):
            raise InputError(f"format must be one of auto, {', '.join(FORMATS)}, not {format!r}")
        self.files = {"train": train, "dev": dev, "test": test}
        self.format, self.columns, self.header = format, (text, label), header
        self.lowercase, self.drop_duplicates = lowercase, drop_duplicates

    def read(self) -> dict[Part, Records]:
        files = find_files(
            self.data_dir, "data.train, data.dev and data.test name CSV, TSV or JSON lines", **self.files
        )
        return {
            part: self._texts(read_labelled(path, self.format, self.columns, self.header))
            for part, path in files.items()
        }

    def _texts(self, rows: list[Row]) -> list[Any]:
        texts = [Text(tuple(tokenize(row.text, self.lowercase)), row.label, row.place) for row in rows]
        if not self.drop_duplicates:
            return texts
        first: dict[tuple[str, ...], Text] = {}
        for text in texts:
            first.setdefault(text.tokens, text)
        return list(first.values())


def tokenize(text: str, lowercase: bool = True) -> list[str]:
    """The words and the punctuation of a text."""
    return TOKEN.findall(text.lower() if lowercase else text)


def _numbers_first(label: str) -> tuple[bool, float, str]:
    """Orders labels that are whole numbers by their size, others by the alphabet."""
    number = label.removeprefix("-").isdecimal()
    return not number, float(label) if number else 0.0, label
