"""Base class of sequence-to-sequence data sets."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.readers.vocabulary import SPECIAL, alphabetical, padded, token_to_index
from primer.data.text.encoding import encode_tokens
from primer.errors import InputError
from primer.spec import IGNORE, UNKNOWN, Sequence, Spec, Tokens

TARGET_SPECIAL = (*SPECIAL, "<start>", "<end>")
"""The first entries of a target vocabulary."""
START, END = 2, 3


class Pairs(DataModule):
    """Pairs of a source and a target sequence of tokens; a string is a sequence of characters.

    A subclass defines ``read``. A record is a source, its target, and optionally alternative targets: the first target
    is used for training, and predictions are compared with all of them. The vocabularies hold the tokens of the
    training sources and of their first targets; any other token is unknown. Every target ends with ``<end>``. The
    vocabulary of sources may adopt that of trained weights.
    """

    inputs = Tokens
    targets = Sequence
    unit: ClassVar[str] = "token"

    def fit_spec(self, train: Any) -> Spec:
        target = alphabetical((target for _, target, *_ in train), TARGET_SPECIAL)
        characters, joined = (isinstance(side, str) for side in train[0][:2])
        known = [word for word in self.known_words if not characters or len(word) == 1]
        source = alphabetical((source for source, *_ in train), SPECIAL, known)
        return Spec(
            Tokens(source, tokenizer="characters" if characters else "whitespace"),
            Sequence(target, START, END, self.unit, separator="" if joined else " "),
        )

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Sequence)
        sources = [source for source, *_ in records]
        if empty := sum(not source for source in sources):
            raise InputError(f"{empty} of {len(sources)} sources are empty: each must have at least one token")
        known = token_to_index(self.spec.target.vocabulary, len(TARGET_SPECIAL))
        targets = [
            [index for reference in references for index in (*(known.get(token, UNKNOWN) for token in reference), END)]
            for _, *references in records
        ]
        return encode_tokens(sources, self.spec.input)._replace(targets=padded(targets, IGNORE))

    def target_lengths(self, data: Batch, train: bool) -> Tensor | None:
        assert data.targets is not None
        # Training uses the first target only, up to and including its end token.
        return (data.targets == END).int().argmax(1) + 1 if train else (data.targets != IGNORE).sum(1)
