"""Metrics of next items."""

from __future__ import annotations

import math

import pytest
import torch

from primer.objectives.next_item import NextItemRanking, rank
from primer.objectives.sequences import NextTokenCrossEntropy
from primer.spec import IGNORE, UNKNOWN, NextToken

ITEMS = NextToken(("<pad>", "<unk>", *(f"i{k}" for k in range(30))), "item")


def test_ranks_equal_those_of_sorting() -> None:
    scores = torch.randn(40, 32)
    targets = torch.randint(2, 32, (40,))
    order = scores[:, 2:].argsort(dim=1, descending=True) + 2
    expected = (order == targets[:, None]).int().argmax(1) + 1
    assert torch.equal(rank(scores, targets), expected)


def test_equal_scores_and_nan_do_not_win() -> None:
    assert rank(torch.zeros(1, 32), torch.tensor([5])).item() == 30
    assert rank(torch.full((1, 32), math.nan), torch.tensor([5])).item() == 30
    assert rank(torch.full((1, 32), -math.inf), torch.tensor([5])).item() == 30
    special = torch.zeros(1, 32)
    special[:, :2], special[:, 5] = 9.0, 1.0
    assert rank(special, torch.tensor([5])).item() == 1  # Padding and the unknown token are not ranked.


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_padding_and_the_batch_size_change_nothing(chunk: int) -> None:
    outputs, targets = torch.randn(8, 5, 32), torch.randint(1, 32, (8, 5))
    targets[3, 2:] = targets[6] = IGNORE
    metric = NextItemRanking()
    for k in range(0, 8, chunk):
        metric.update(torch.zeros(0), targets[k : k + chunk], outputs[k : k + chunk])
    kept = targets != IGNORE
    ranks = rank(outputs[kept], targets[kept]).double()
    weights = (targets[kept] != UNKNOWN).double()  # An unknown item is a miss.
    hits = (ranks <= 10).double() * weights
    expected = {
        "hit_rate_at_10": hits.mean(), "ndcg_at_10": (hits / (ranks + 1).log2()).mean(), "mrr": (weights / ranks).mean()
    }  # fmt: skip
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-5
    )


def test_unknown_items_do_not_count_in_the_loss() -> None:
    objective = NextTokenCrossEntropy(ITEMS)
    outputs, targets = torch.randn(2, 3, 32), torch.tensor([[4, UNKNOWN, 5], [6, IGNORE, IGNORE]])
    loss, count = objective.loss(outputs, targets)
    logs = outputs.log_softmax(-1)
    assert (loss.item(), int(count)) == (
        pytest.approx(-(logs[0, 0, 4] + logs[0, 2, 5] + logs[1, 0, 6]).item() / 3, rel=1e-5), 3,
    )  # fmt: skip
    assert objective.scalar_names() == ["hit_rate_at_10", "ndcg_at_10", "mrr"]


def test_nothing_is_reported_without_targets() -> None:
    metric = NextItemRanking()
    metric.update(torch.zeros(0), torch.full((2, 3), IGNORE), torch.zeros(2, 3, 32))
    assert metric.compute() == {}
