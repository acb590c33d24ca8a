"""The base of data sets of pairs of sequences: one is read, the other is to be written."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.readers.vocabulary import SPECIAL, indices, padded, token_to_index
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, UNKNOWN, Sequence, Spec, Tokens

TARGET_SPECIAL = (*SPECIAL, "<start>", "<end>")
"""The first entries of a target vocabulary."""
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

    def fit_spec(self, train: Any) -> Spec:
        source = alphabetical((source for source, *_ in train), SPECIAL)
        target = alphabetical((target for _, target, *_ in train), TARGET_SPECIAL)
        return Spec(Tokens(source), Sequence(target, START, END, self.unit))

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Sequence)
        sources = indices([source for source, *_ in records], self.spec.input.vocabulary)
        if empty := sum(not source for source in sources):
            raise InputError(f"{empty} of {len(sources)} sources are empty: each must have at least one token")
        known = token_to_index(self.spec.target.vocabulary, len(TARGET_SPECIAL))
        targets = [
            [place for answer in some for place in (*(known.get(token, UNKNOWN) for token in answer), END)]
            for _, *some in records
        ]
        return Batch(
            padded(sources, PADDING),
            padded(targets, IGNORE),
            torch.tensor([len(source) for source in sources], dtype=torch.int64),
        )

    def target_lengths(self, data: Batch, train: bool) -> Tensor | None:
        assert data.targets is not None
        # The first end is the end of what is learnt.
        return (data.targets == END).int().argmax(1) + 1 if train else (data.targets != IGNORE).sum(1)


def alphabetical(sequences: Iterable[Iterable[str]], special: tuple[str, ...]) -> tuple[str, ...]:
    """The special entries of a vocabulary, then all tokens of the sequences in the order of the alphabet."""
    return (*special, *sorted(set(chain.from_iterable(sequences)) - set(special)))
