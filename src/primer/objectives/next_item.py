"""Metrics of recommendation: where the item that follows stands in the ranking of all items."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from primer.spec import IGNORE, UNKNOWN

CUTOFF = 10
"""The number of recommendations that the hit rate and the NDCG judge."""


class NextItemRanking(Metric):
    """The hit rate and the normalized discounted cumulative gain among ten recommendations, and the mean reciprocal
    rank in the ranking of all items (Hidasi et al. 2016; Kang and McAuley 2018).

    Padding and the unknown token are not ranked. An unknown item counts as a miss: it cannot be recommended. Of equal
    scores, those of other items come first, so that a constant score does not win.
    """

    higher_is_better: bool | None = True
    scalar_names = (f"hit_rate_at_{CUTOFF}", f"ndcg_at_{CUTOFF}", "mrr")
    sums: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(3), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor) -> None:
        """Updates the state with scores ``(batch, time, words)`` and targets ``(batch, time)``; ignores
        predictions."""
        counted = targets != IGNORE
        targets = targets[counted]
        ranks = rank(outputs[counted], targets)
        hits = (ranks <= CUTOFF).float()
        scores = torch.stack([hits, hits / torch.log2(ranks + 1.0), 1 / ranks], 1)
        self.sums += (scores * (targets > UNKNOWN)[:, None]).sum(0)
        self.count += len(targets)

    def compute(self) -> dict[str, Tensor]:
        return dict(zip(self.scalar_names, self.sums / self.count, strict=True)) if self.count else {}


def rank(scores: Tensor, targets: Tensor) -> Tensor:
    """Returns the rank of each target ``(samples,)`` by its score ``(samples, words)``, from 1; NaN comes last."""
    items = scores[:, UNKNOWN + 1 :]
    own = scores.gather(1, targets[:, None])
    own = own.masked_fill(own.isnan(), -math.inf)
    ahead = ~(items < own)
    # The target itself is counted once if it is an item.
    return (ahead.sum(1) + (targets <= UNKNOWN)).clamp(min=1)
