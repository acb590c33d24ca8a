"""Counts of words that occur near each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.text.word_context import RunningText, encode_words
from primer.errors import InputError
from primer.spec import Cooccurrence, Spec, Tokens


class Cooccurrences(RunningText):
    """How often words of any text occur near each other, for ``model=glove``.

    The samples are the pairs of words that occur within a window at least once, of which some are held out: a model is
    tested on how well it predicts the counts of pairs that it has not seen. The vocabulary and the counts are those of
    the whole text. A pair of different words is in one part, in both orders.

    Args:
        window: maximum distance between two words of a pair, within a sentence. A pair at distance ``d`` counts as
            ``1 / d`` (Pennington et al. 2014, section 4.2).
        **kwargs: see ``RunningText``. ``train_size`` and fractions refer to pairs, ``batch_size`` to ordered pairs.

    Raises:
        InputError: if ``window`` is less than 1.
    """

    targets = Cooccurrence

    def __init__(self, *, window: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if window < 1:
            raise InputError(f"window must be at least 1, not {window}")
        self.window = window
        self._tokens: Tokens | None = None

    def read(self) -> dict[Part, Records]:
        sentences = self.read_sentences()
        self._tokens = self.tokens(sentences)
        words, numbers = encode_words(sentences, self._tokens.vocabulary)
        pairs, counts = count_pairs(words, numbers, len(self._tokens.vocabulary), self.window)
        return {"train": Batch(torch.from_numpy(pairs), torch.from_numpy(counts))}

    def fit_spec(self, train: Batch) -> Spec:
        assert self._tokens is not None
        return Spec(self._tokens, Cooccurrence())

    def encode(self, records: Batch) -> Batch:
        """Returns the pairs in both orders. A word near itself is one pair, which counts twice."""
        pairs, counts = records.inputs, records.targets
        assert counts is not None
        same = pairs[:, 0] == pairs[:, 1]
        return Batch(
            torch.cat([pairs, pairs[~same].flip(1)]), torch.cat([torch.where(same, 2 * counts, counts), counts[~same]])
        )


def count_pairs(words: np.ndarray, sentences: np.ndarray, size: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts the pairs of words within a window, weighted by the inverse of their distance.

    Args:
        words: ``(words,)`` indices into the vocabulary.
        sentences: ``(words,)`` the number of the sentence of each word.
        size: size of the vocabulary.
        window: maximum distance of a pair.

    Returns:
        The pairs ``(pairs, 2)``, each with the smaller index first, and their counts ``(pairs,)`` in single precision.
    """
    codes, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
    for distance in range(1, min(window, len(words) - 1) + 1):
        together = sentences[distance:] == sentences[:-distance]
        left, right = words[:-distance][together], words[distance:][together]
        code, count = np.unique(np.minimum(left, right) * size + np.maximum(left, right), return_counts=True)
        codes.append(code)
        weights.append(count / distance)
    unique, inverse = np.unique(np.concatenate(codes), return_inverse=True)
    counts = np.bincount(inverse, np.concatenate(weights), minlength=len(unique))
    return np.stack([unique // size, unique % size], 1), counts.astype(np.float32)
