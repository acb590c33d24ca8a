"""Sessions: sequences of items, for next-item recommendation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.readers.csv_rows import parse_delimiter
from primer.data.readers.lines import find_file
from primer.data.readers.rating_rows import index_names, read_columns, to_times
from primer.data.readers.vocabulary import SPECIAL, indices, padded, vocabulary
from primer.data.recommendation.synthetic_sessions import generate_sessions
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, NextToken, Spec, Tokens

Split = Literal["random", "leave_one_out"]
FEWEST = 2
"""The number of items that a session keeps in the training part if items of it are left out: one is predicted from the
other. A shorter session is in the training part as a whole."""


class Session(NamedTuple):
    """The items of a session in order of time, and the position of the first one to predict."""

    items: tuple[str, ...]
    first: int = 1
    held_out: bool = False


class Sessions(DataModule):
    """What users look at, buy or rate, one item after the other: a sample is a session, and each item but its first is
    predicted from those before it.

    The file is a CSV file with a session (or a user), an item and a time in each row, or one of MovieLens:
    ``ratings.csv``, ``u.data`` or ``ratings.dat``. Sessions with a single item are left out. The items are those of the
    training part; others are unknown tokens, which are never recommended, so that they count as misses.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder. None generates
            sessions.
        session, item, time: the names of the columns; None finds them. Without a column of sessions, all rows of a user
            are one.
        split: what is held out: whole sessions at ``random``, of which every item but the first is predicted; or
            ``leave_one_out``, the last item of each session for the test, and the one before for validation, if two
            others remain. Then, all items before it are read, that for validation included; ``test_fraction`` has no
            effect, and ``val_fraction=0`` is without validation.
        sequence_length: the maximum number of items that a prediction is made from. A longer session is cut into
            sequences, in each of which only items are predicted that no other one predicts; in evaluation, at least
            half of a sequence is context for them if so many items precede.
        min_count: an item with fewer occurrences in the training part is an unknown token.
        delimiter: the character between cells; None for ``::``, a tab or a comma, whichever the first line has.
        sessions, items, per_session: the numbers of generated sessions, items, and items per session on average, of
            which each has at least two.
        data_seed: seed of generated sessions.
        **kwargs: see ``DataModule``.

    Attributes:
        occurrences: ``(vocabulary,)`` how often each item occurs in the training part.

    Raises:
        InputError: if a setting is invalid; when the data is read, if a line is malformed, a column is missing, or no
            session has two items.
    """

    inputs = Tokens
    targets = NextToken

    def __init__(
        self,
        path: str | Path | None = None,
        session: str | None = None,
        item: str | None = None,
        time: str | None = None,
        split: Split = "random",
        sequence_length: int = 50,
        min_count: int = 1,
        delimiter: str | None = None,
        sessions: int = 2000,
        items: int = 200,
        per_session: int = 10,
        data_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if split not in ("random", "leave_one_out"):
            raise InputError(f"split must be one of random, leave_one_out, not {split!r}")
        if self.folds is not None and split != "random":
            raise InputError(f"folds={self.folds} divides sessions at random: it needs split=random, not {split}")
        for name, count in (
            ("sequence_length", sequence_length), ("min_count", min_count), ("sessions", sessions), ("items", items),
            ("per_session", per_session),
        ):  # fmt: skip
            if count < (least := 2 if name == "per_session" else 1):
                raise InputError(f"{name} must be at least {least}, not {count}")
        self.path, self.mode = path, split
        self.columns = {"session": session, "item": item, "time": time}
        self.sequence_length, self.min_count = sequence_length, min_count
        self.delimiter = None if delimiter is None else parse_delimiter(delimiter)
        self.sessions, self.items, self.per_session, self.data_seed = sessions, items, per_session, data_seed
        self.occurrences = torch.zeros(0)

    def read(self) -> dict[Part, Records]:
        if self.path is None:
            made = generate_sessions(self.sessions, self.items, self.per_session, self.data_seed)
            sequences = [[f"item_{k}" for k in items] for items in made]
            source = f"sessions={self.sessions} per_session={self.per_session}"
        else:
            file = find_file(str(self.path), self.data_dir, "data.path names a file of sessions")
            sequences, source = self._read_file(file), str(file)
        sessions: list[Any] = [Session(tuple(items)) for items in sequences if len(items) > 1]
        if not sessions:
            raise InputError(f"{source}: no session has two items, so there is no next item to predict")
        return {"train": sessions}

    def _read_file(self, file: Path) -> list[list[str]]:
        columns = read_columns(file, self.columns, (), self.delimiter)
        session, item = (index_names(columns[key]) for key in ("session", "item"))
        times = to_times(columns["time"])
        codes = np.array(session[1])
        order = np.lexsort((times, codes))  # At the same time: in the order of the file.
        names = np.array(item[0], dtype=object)[np.array(item[1])[order]]
        ends = np.bincount(codes).cumsum()
        return [list(items) for items in np.split(names, ends[:-1])]

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        sessions: list[Any] = list(parts["train"])
        if self.mode == "leave_one_out":
            left_out = 2 if self.val_fraction else 1
            long = [session.items for session in sessions if len(session.items) >= FEWEST + left_out]
            short = [session for session in sessions if len(session.items) < FEWEST + left_out]
            parts = {
                "train": [*(Session(items[:-left_out]) for items in long), *short],
                "val": [Session(items[:-1], len(items) - 2, True) for items in long] if self.val_fraction else [],
                "test": [Session(items, len(items) - 1, True) for items in long],
            }
        divided = super().split(parts)
        held_out: tuple[Part, ...] = ("val", "test")
        return divided | {part: [session._replace(held_out=True) for session in divided[part]] for part in held_out}  # type: ignore[union-attr]

    def fit_spec(self, train: Any) -> Spec:
        counts = Counter(item for session in train for item in session.items)
        words = vocabulary(counts.elements(), self.min_count, self.known_words)
        if len(words) == len(SPECIAL):
            raise InputError(
                f"min_count={self.min_count} leaves no item: the most frequent one occurs {max(counts.values())} times"
            )
        self.occurrences = torch.tensor([counts[word] for word in words], dtype=torch.float64)
        # A text of names without spaces can be split into names again.
        tokenizer = "none" if any(word.split() != [word] for word in words) else "whitespace"
        return Spec(Tokens(words, tokenizer=tokenizer), NextToken(words, "item"))

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        longest = self.sequence_length
        inputs, targets = [], []
        for session, codes in zip(
            records, indices((r.items for r in records), self.spec.input.vocabulary), strict=True
        ):
            stride = max(1, longest // 2) if session.held_out else longest
            for start, first, end in windows(len(codes), session.first, longest, stride):
                inputs.append(codes[start:end])
                targets.append([IGNORE] * (first - 1 - start) + codes[first : end + 1])
        lengths = torch.tensor([len(row) for row in inputs], dtype=torch.int64)
        return Batch(padded(inputs, PADDING), padded(targets, IGNORE), lengths)

    def transitions(self) -> tuple[Tensor, Tensor]:
        """Returns the pairs of an item and the one that follows it in the training part: ``(pairs, 2)`` indices, and
        how often each occurs."""
        train = self.parts["train"]
        assert isinstance(train, Batch)
        assert train.targets is not None
        predicted = train.targets != IGNORE
        return torch.stack([train.inputs[predicted], train.targets[predicted]], 1).unique(dim=0, return_counts=True)


def windows(size: int, first: int, longest: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Yields sequences that together predict the items of a session from the position ``first`` on, each once.

    Args:
        size: the number of items of the session.
        first: the position of the first item to predict, at least 1.
        longest: the maximum number of items that are read.
        stride: the maximum number of items that a sequence predicts, unless it starts with the session.

    Yields:
        The position of the first item that is read, of the first one that is predicted, and of the last one that is
        predicted.
    """
    end = max(longest, first + stride - 1)
    while first < size:
        end = min(end, size - 1)
        yield max(0, end - longest), first, end
        first, end = end + 1, end + stride
