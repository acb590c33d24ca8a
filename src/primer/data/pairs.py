"""The base of data sets of pairs of sequences: one is read, the other is to be written."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Series
from typing import Any, ClassVar

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, UNKNOWN, Sequence, Spec, Tokens

SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")
"""The first entries of a target vocabulary; those of a source vocabulary are the first two of them."""
START, END = 2, 3


class Pairs(DataModule):
    """Pairs of a source and a target, each a sequence of tokens; a string is one of characters.

    A subclass says in ``read`` where the pairs come from. A record is a source and its target, and then any further
    targets that are right too: the first is learnt, and a prediction may be any. Both vocabularies are those of the
    training part, the source's and the first targets'; any other token is unknown. Every target ends with ``<end>``.
    """

    inputs = Tokens
    targets = Sequence
    unit: ClassVar[str] = "token"

    def learn(self, train: Any) -> Spec:
        source = vocabulary((source for source, *_ in train), SPECIAL[:2])
        target = vocabulary((target for _, target, *_ in train), SPECIAL)
        return Spec(Tokens(source), Sequence(target, START, END, self.unit))

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Sequence)
        sources = indices([source for source, *_ in records], self.spec.input.vocabulary)
        if empty := sum(not source for source in sources):
            raise InputError(f"{empty} of {len(sources)} sources are empty: each must have at least one token")
        ended = ([token for target in some for token in (*target, SPECIAL[END])] for _, *some in records)
        targets = indices(ended, self.spec.target.vocabulary)
        return Batch(
            padded(sources, PADDING),
            padded(targets, IGNORE),
            torch.tensor([len(source) for source in sources], dtype=torch.int64),
        )

    def target_lengths(self, data: Batch, train: bool) -> Tensor | None:
        assert data.targets is not None
        # The first end is the end of what is learnt.
        return (data.targets == END).int().argmax(1) + 1 if train else (data.targets != IGNORE).sum(1)


def vocabulary(sequences: Iterable[Series[str]], special: tuple[str, ...]) -> tuple[str, ...]:
    """The special tokens, then all tokens of the sequences in the order of the alphabet."""
    return (*special, *sorted({token for sequence in sequences for token in sequence} - set(special)))


def indices(sequences: Iterable[Series[str]], words: tuple[str, ...]) -> list[list[int]]:
    """Each token's place in a vocabulary."""
    places = {word: place for place, word in enumerate(words)}
    return [[places.get(token, UNKNOWN) for token in sequence] for sequence in sequences]


def padded(rows: list[list[int]], value: int) -> Tensor:
    """Rows of any lengths as ``(rows, longest)``, filled up with ``value``."""
    longest = max((len(row) for row in rows), default=0)
    filled = [row + [value] * (longest - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.int64).view(len(rows), longest)
