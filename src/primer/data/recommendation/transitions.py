"""Counts of items: the usual baselines of next-item recommendation."""

from __future__ import annotations

import torch
from torch import Tensor


class Transitions:
    """Scores items by how often they followed an item. Those that never did are ranked by popularity.

    Args:
        pairs: ``(pairs, 2)`` an item, and one that follows it.
        counts: ``(pairs,)`` how often.
        occurrences: ``(items,)`` how often each item occurs.
    """

    def __init__(self, pairs: Tensor, counts: Tensor, occurrences: Tensor) -> None:
        items = len(occurrences)
        self.counts = torch.sparse_coo_tensor(pairs.T, counts.float(), (items, items)).to_sparse_csr()
        self.popularity = (occurrences / (occurrences.max() + 1)).float()  # Less than a count of 1.

    def __call__(self, inputs: Tensor) -> Tensor:
        """Returns the scores ``(…, items)`` of what may follow items of any shape."""
        flat = inputs.flatten().to(self.popularity.device)
        starts, columns, values = self.counts.crow_indices(), self.counts.col_indices(), self.counts.values()
        sizes = starts.diff()[flat]
        rows = torch.arange(len(flat)).repeat_interleave(sizes)
        entries = torch.arange(len(rows)) - (sizes.cumsum(0) - sizes)[rows] + starts[flat][rows]
        scores = self.popularity.repeat(len(flat), 1)
        scores[rows, columns[entries]] += values[entries]
        return scores.view(*inputs.shape, -1).to(inputs.device)
