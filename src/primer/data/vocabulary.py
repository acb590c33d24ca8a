"""Words as numbers: the vocabulary, rows of unequal length, and the spelling of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

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
    return (*SPECIAL, *kept)


def padded(flat: list[int], lengths: np.ndarray, padding: int) -> Tensor:
    """The rows that stand one after the other in ``flat``, as a matrix filled up with ``padding``."""
    real = np.arange(lengths.max(initial=0)) < lengths[:, None]
    rows = np.full(real.shape, padding, dtype=np.int64)
    rows[real] = flat
    return torch.from_numpy(rows)


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
        self.entries = {word: k for k, word in enumerate(tokens.vocabulary)}
        self.letters = {letter: k for k, letter in enumerate(tokens.characters)}
        self.places: dict[str, int] = {}
        self.table = torch.full((1, 1 + length), PADDING)

    def rows(self, words: Iterable[str]) -> list[int]:
        """The row of each word; a word that is new gets one. Row 0 is padding."""
        known = len(self.places)
        found = [self.places.setdefault(word, len(self.places) + 1) for word in words]
        if new := [self._row(word) for word in islice(self.places, known, None)]:
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
