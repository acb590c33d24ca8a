"""Converts texts to tokens, and tokens to indices, as described by a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch

from primer.batch import Batch
from primer.data.readers.vocabulary import Spellings, indices, padded
from primer.errors import InputError
from primer.spec import PADDING, Tokens

TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
"""A run of letters, digits and underscores, possibly with apostrophes inside; or any other non-space character."""


def tokenize(text: str, lowercase: bool = True) -> list[str]:
    """Splits a text into words and punctuation."""
    return TOKEN.findall(text.lower() if lowercase else text)


def split_text(text: str, kind: Tokens) -> list[str]:
    """Splits a text into tokens with the tokenizer of a spec.

    Raises:
        InputError: if the spec has none.
    """
    if kind.tokenizer == "words":
        return tokenize(text, lowercase=False)
    if kind.tokenizer == "whitespace":
        return text.split()
    if kind.tokenizer == "characters":
        return list(text)
    raise InputError("this model has no tokenizer for texts: pass a list of tokens instead of each text")


def encode_tokens(sequences: Iterable[Sequence[str]], kind: Tokens, spellings: Spellings | None = None) -> Batch:
    """Returns a batch of token indices and lengths, without targets.

    Args:
        sequences: the tokens of each sample.
        kind: the vocabulary, and how tokens are looked up in it.
        spellings: the table of word forms of a data set whose inputs contain the letters of each word. Inputs are then
            row numbers, which it expands.
    """
    kept = [sequence[: kind.max_length] for sequence in sequences]
    if spellings:
        rows = spellings.rows(kept)
    else:
        rows = indices(([token.lower() for token in sequence] if kind.lowercase else sequence for sequence in kept),
                       kind.vocabulary)  # fmt: skip
    return Batch(padded(rows, PADDING), None, torch.tensor([len(row) for row in rows], dtype=torch.int64))


def spelling_table(kind: Tokens) -> Spellings | None:
    """Returns a new table of word forms; None if inputs do not contain the letters of words."""
    return Spellings(kind, kind.word_length, kind.lowercase) if kind.characters else None
