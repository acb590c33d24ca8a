"""Vocabularies, padding, and character-level spellings of words."""

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


def vocabulary(words: Iterable[str], min_count: int, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns padding and unknown, then the ``known`` words in their order, then other words that occur at least
    ``min_count`` times, most frequent first."""
    counts = Counter(words)
    kept = sorted((w for w, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    return (*SPECIAL, *(word for word in dict.fromkeys([*known, *kept]) if word not in SPECIAL))


def alphabetical(
    sequences: Iterable[Iterable[str]], special: tuple[str, ...], known: Sequence[str] = ()
) -> tuple[str, ...]:
    """Returns a vocabulary: the special entries, then the ``known`` tokens in their order, then all other tokens of the
    sequences in alphabetical order."""
    others = dict.fromkeys([*known, *sorted(set(chain.from_iterable(sequences)))])
    return (*special, *(token for token in others if token not in special))


def token_to_index(words: tuple[str, ...], special: int = len(SPECIAL)) -> dict[str, int]:
    """Maps each word of a vocabulary to its index. The first ``special`` entries are not words: a literal ``<pad>`` in
    a text is an unknown word."""
    return {word: index for index, word in enumerate(words[special:], start=special)}


def indices(sequences: Iterable[Iterable[str]], words: tuple[str, ...]) -> list[list[int]]:
    """Returns the vocabulary index of each token; ``UNKNOWN`` for tokens that are not in the vocabulary."""
    known = token_to_index(words)
    return [[known.get(token, UNKNOWN) for token in sequence] for sequence in sequences]


def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Pads rows of different lengths with ``value``, to ``(rows, longest)``."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    result = np.full(mask.shape, value, dtype=np.int64)
    result[mask] = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
    return torch.from_numpy(result)


class Spellings:
    """A table with one row per distinct word form: its vocabulary index, then the indices of its letters. Sentences are
    stored as row numbers, which takes a twentieth of the memory, and are expanded batch by batch.

    Args:
        tokens: the vocabularies of words and of letters.
        length: maximum number of letters. Of a longer word, the first and the last ``length / 2`` letters are kept.
        lowercase: whether the vocabulary of words is in lower case.
    """

    def __init__(self, tokens: Tokens, length: int, lowercase: bool = False) -> None:
        self.length, self.lowercase = length, lowercase
        self.entries, self.letters = token_to_index(tokens.vocabulary), token_to_index(tokens.characters)
        self.known: dict[str, int] = {}
        self.table = torch.full((1, 1 + length), PADDING)

    def rows(self, sentences: Iterable[Iterable[str]]) -> list[list[int]]:
        """Returns the row number of each word of each sentence, adding rows for new words. Row 0 is padding."""
        before = len(self.known)
        numbers = [[self.known.setdefault(word, len(self.known) + 1) for word in sentence] for sentence in sentences]
        if new := [self._spell(word) for word in islice(self.known, before, None)]:
            self.table = torch.cat([self.table.cpu(), torch.tensor(new)])
        return numbers

    def unpack(self, batch: Batch) -> Batch:
        """Expands inputs from row numbers, ``(batch, time)``, to ``(batch, time, 1 + letters)``."""
        self.table = self.table.to(batch.inputs.device)
        inputs = F.embedding(batch.inputs, self.table)
        if inputs.device.type == "cpu":  # On other devices, finding the longest word would cause a synchronization.
            used = (inputs.flatten(0, 1) != PADDING).any(0)
            inputs = inputs[..., : max(2, int(used.sum()))]
        return batch._replace(inputs=inputs)

    def _spell(self, word: str) -> list[int]:
        half, entry = self.length // 2, self.entries.get(word.lower() if self.lowercase else word, UNKNOWN)
        if len(word) > self.length:
            word = word[: self.length - half] + word[len(word) - half :]
        letters = [self.letters.get(letter, UNKNOWN) for letter in word]
        return [entry, *letters, *[PADDING] * (self.length - len(letters))]
