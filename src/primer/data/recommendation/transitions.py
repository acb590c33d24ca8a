"""Counts of items: the usual baselines of next-item recommendation."""

from __future__ import annotations

import torch
from torch import Tensor


class Transitions:
    """Scores items by how often they followed an item. Those that never did are ranked by popularity.

    Args:
        pairs: ``(pairs, 2)`` an item and one that followed it, sorted by the first.
        counts: ``(pairs,)`` how often.
        occurrences: ``(items,)`` how often each item occurs.

    Attributes:
        popularity: ``(items,)`` scores from 0 to less than 1.
    """

    def __init__(self, pairs: Tensor, counts: Tensor, occurrences: Tensor) -> None:
        self.popularity = (occurrences / (occurrences.max() + 1)).float()
        self.following, self.counts = pairs[:, 1], counts.float()
        self.sizes = torch.bincount(pairs[:, 0], minlength=len(occurrences))
        self.starts = self.sizes.cumsum(0) - self.sizes

    def __call__(self, inputs: Tensor) -> Tensor:
        """Returns the scores ``(…, items)`` of what may follow items of any shape."""
        items = inputs.flatten().to(self.popularity.device)
        sizes = self.sizes[items]
        rows = torch.arange(len(items)).repeat_interleave(sizes)
        entries = torch.arange(len(rows)) + (self.starts[items] - sizes.cumsum(0) + sizes)[rows]
        scores = self.popularity.repeat(len(items), 1)
        scores[rows, self.following[entries]] += self.counts[entries]
        return scores.view(*inputs.shape, -1).to(inputs.device)
