"""A loader of running text: runs of consecutive words, of which frequent ones are left out at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.loader import Loader, fits_on_device

MARGIN = 1.01
"""How many more batches than needed on average an epoch has, so that a batch rarely exceeds its size."""


class WordRunLoader(Loader):
    """Yields runs of consecutive words in the order of the text, with the number of the sentence of each word.

    With ``keep``, each word is kept with a probability that depends on the word, drawn again in each epoch. All epochs
    have the same number of batches: the words that are kept are divided evenly among them. Without it, runs end where a
    sentence ends, so that no context is cut off.

    Args:
        text: the words ``(words,)`` as inputs, and the number of the sentence of each as targets.
        batch_size: words per batch.
        keep: ``(vocabulary,)`` the probability of keeping each word; None keeps all.
        **settings: see ``Loader``.
    """

    def __init__(self, text: Batch, batch_size: int, *, keep: Tensor | None = None, **settings: Any) -> None:
        super().__init__(text, batch_size, **settings)
        text = text.to(self.device) if fits_on_device(text, self.device) else text
        assert text.targets is not None
        self.words, self.sentences = text.inputs, text.targets
        self.keep = None if keep is None else keep.to(self.words.device)
        if self.keep is None:
            self._starts = sentence_aligned(self.sentences.cpu(), batch_size)
            self._batches = len(self._starts) - 1
        else:
            self._batches = max(1, math.ceil(self.keep[self.words].sum().item() * MARGIN / batch_size))

    def __len__(self) -> int:
        return self._batches

    def batch_rows(self, first: int) -> Iterator[Tensor | slice]:
        return (slice(number, number + 1) for number in range(first, len(self)))

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        words, sentences = self._kept()
        starts = self._starts if self.keep is None else [k * len(words) // len(self) for k in range(len(self) + 1)]
        for row in rows:
            assert isinstance(row, slice)
            run = slice(starts[row.start], starts[row.stop])
            yield Batch(words[run], sentences[run]).to(self.device)

    def _kept(self) -> tuple[Tensor, Tensor]:
        """Returns the words of this epoch, and their sentences."""
        if self.keep is None:
            return self.words, self.sentences
        generator = torch.Generator().manual_seed(self.derive_seed(self.epoch))
        draws = torch.rand(len(self.words), generator=generator).to(self.words.device)
        kept = draws < self.keep[self.words]
        return self.words[kept], self.sentences[kept]


def sentence_aligned(sentences: Tensor, batch_size: int) -> list[int]:
    """Returns the starts of runs of whole sentences, followed by the end of the last one. A run has at most
    ``batch_size`` words, or a single longer sentence.

    Args:
        sentences: ``(words,)`` the number of the sentence of each word, in ascending order.
        batch_size: words per run.
    """
    size = len(sentences)
    is_start = torch.ones(size + 1, dtype=torch.bool)
    is_start[1:size] = sentences[1:] != sentences[:-1]
    starts, runs = is_start.nonzero().flatten(), [0]
    while runs[-1] < size:
        within = int(torch.searchsorted(starts, runs[-1] + batch_size, right=True)) - 1
        following = int(torch.searchsorted(starts, runs[-1], right=True))
        runs.append(int(starts[max(within, following)]))
    return runs
