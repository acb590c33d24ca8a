"""Words as numbers: the vocabulary, rows of unequal length, and the spelling of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from primer.batch import Batch
from primer.spec import PADDING, UNKNOWN, Tokens

SPECIAL = ("<pad>", "<unk>")
"""The first two entries of every vocabulary."""


def vocabulary(words: Iterable[str], min_count: int) -> tuple[str, ...]:
    """Padding and unknown, then the words that occur at least ``min_count`` times, the most frequent first."""
    counts = Counter(words)
    kept = sorted((w for w, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    return (*SPECIAL, *(word for word in kept if word not in SPECIAL))


def token_to_index(words: tuple[str, ...], special: int = len(SPECIAL)) -> dict[str, int]:
    """Where each word of a vocabulary stands. Its first entries, the ``special`` ones, are no words: a text that holds
    ``<pad>`` holds an unknown word."""
    return {word: place for place, word in enumerate(words[special:], start=special)}


def indices(sequences: Iterable[Iterable[str]], words: tuple[str, ...]) -> list[list[int]]:
    """Each token's place in a vocabulary, where unknown words have one too."""
    known = token_to_index(words)
    return [[known.get(token, UNKNOWN) for token in sequence] for sequence in sequences]


def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Rows of any lengths as ``(rows, longest)``, filled up with ``value``."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    real = np.arange(lengths.max(initial=0)) < lengths[:, None]
    filled = np.full(real.shape, value, dtype=np.int64)
    filled[real] = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
    return torch.from_numpy(filled)


class Spellings:
    """A table with a row for each word as it is written: its entry in the vocabulary, then its letters. A sentence is
    kept as the numbers of rows, which takes a twentieth of the memory, and is looked up batch by batch.

    Args:
        tokens: the vocabularies of words and of letters.
        length: the most letters of a word. A longer word is its first half of them and its last half.
        lowercase: whether the vocabulary of words is in small letters.
    """

    def __init__(self, tokens: Tokens, length: int, lowercase: bool = False) -> None:
        self.length, self.lowercase = length, lowercase
        self.entries, self.letters = token_to_index(tokens.vocabulary), token_to_index(tokens.characters)
        self.known: dict[str, int] = {}
        self.table = torch.full((1, 1 + length), PADDING)

    def rows(self, sentences: Iterable[Iterable[str]]) -> list[list[int]]:
        """The row of each word of each sentence; a word that is new gets one. Row 0 is padding."""
        before = len(self.known)
        found = [[self.known.setdefault(word, len(self.known) + 1) for word in sentence] for sentence in sentences]
        if new := [self._row(word) for word in islice(self.known, before, None)]:
            self.table = torch.cat([self.table.cpu(), torch.tensor(new)])
        return found

    def unpack(self, batch: Batch) -> Batch:
        """``(batch, time)`` rows in, ``(batch, time, 1 + letters)`` out."""
        self.table = self.table.to(batch.inputs.device)
        inputs = F.embedding(batch.inputs, self.table)
        if inputs.device.type == "cpu":  # Elsewhere, to ask for the longest word would be to wait for the device.
            used = (inputs.flatten(0, 1) != PADDING).any(0)
            inputs = inputs[..., : max(2, int(used.sum()))]
        return batch._replace(inputs=inputs)

    def _row(self, word: str) -> list[int]:
        half, entry = self.length // 2, self.entries.get(word.lower() if self.lowercase else word, UNKNOWN)
        if len(word) > self.length:
            word = word[: self.length - half] + word[len(word) - half :]
        letters = [self.letters.get(letter, UNKNOWN) for letter in word]
        return [entry, *letters, *[PADDING] * (self.length - len(letters))]
