"""Samples of like length share a batch: how much of it is padding, and in what order batches come."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch

from primer.batch import Batch
from primer.data.loading.loader import TensorLoader
from primer.data.text.conllu import CoNLLU
from primer.data.text.opinions import Opinions
from primer.data.text.pos_tags import PosTags


def share_of_padding(loader: TensorLoader) -> float:
    """The share of an epoch's tokens that are padding."""
    real = whole = 0
    for batch in loader:
        assert batch.lengths is not None
        real += int(batch.lengths.sum())
        whole += batch.inputs.shape[0] * batch.inputs.shape[1]
    return 1 - real / whole


def unordered(batches: TensorLoader) -> float:
    """The same without buckets."""
    plain = TensorLoader(batches.data, batches.batch_size, shuffle=True, tagged=batches.tagged, seed=0)
    return share_of_padding(plain)


@pytest.mark.parametrize("kind", [PosTags, Opinions])
@pytest.mark.parametrize("batch_size", [32, 64])
def test_little_of_a_batch_is_padding(
    kind: type[PosTags] | type[Opinions], batch_size: int, record_figure: Callable[[str], None]
) -> None:
    data = kind(batch_size=batch_size, eval_batch_size=batch_size).prepare()
    loader = data.loader("train", train=True)
    assert isinstance(loader, TensorLoader)
    share, without = share_of_padding(loader), unordered(loader)
    record_figure(f"{kind.__name__}, batches of {batch_size}: {share:.4f} padding; {without:.4f} without buckets")
    assert share <= 0.1 < without
    assert share_of_padding(data.loader("test", train=False)) <= 0.1  # type: ignore[arg-type]


def test_little_of_brown_is_padding(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    folder = data_dir_or_skip("pos/brown-train.conllu").parents[1]
    files = {part: f"pos/brown-{part}.conllu" for part in ("train", "dev", "test")}
    data = CoNLLU(**files, data_dir=folder, batch_size=32).prepare()
    loader = data.loader("train", train=True)
    assert isinstance(loader, TensorLoader)
    share, without = share_of_padding(loader), unordered(loader)
    record_figure(f"Brown, batches of 32: {share:.4f} padding; {without:.4f} without buckets")
    assert share <= 0.1 < without


LENGTHS = torch.randint(1, 30, (1000,), generator=torch.Generator().manual_seed(0))


def loader(seed: int = 0, **settings: int) -> TensorLoader:
    """1000 sequences, of which each says its number at its first step."""
    steps = torch.zeros(1000, 30, dtype=torch.long)
    steps[:, 0] = torch.arange(1000)
    return TensorLoader(Batch(steps, None, LENGTHS), 4, shuffle=True, seed=seed, lengths=LENGTHS, **settings)


def order(some: TensorLoader, epoch: int) -> list[list[int]]:
    some.set_epoch(epoch)
    return [batch.inputs[:, 0].tolist() for batch in some]


def test_the_order_is_random_and_follows_from_seed_and_epoch() -> None:
    first, second = order(loader(), 0), order(loader(), 1)
    assert order(loader(), 0) == first
    assert first != second
    assert order(loader(seed=1), 0) != first
    assert sorted(number for batch in first for number in batch) == list(range(1000))
    assert {frozenset(batch) for batch in first}.isdisjoint({frozenset(batch) for batch in second})


def test_few_batches_are_mixed_anew_too(record_figure: Callable[[str], None]) -> None:
    """1000 samples of very different lengths in batches of 16: a single pool, and 8 samples that fill no batch."""
    lengths = torch.randint(1, 257, (1000,), generator=torch.Generator().manual_seed(0))
    steps = torch.arange(1000)[:, None].expand(1000, 257)
    some = TensorLoader(Batch(steps, None, lengths), 16, shuffle=True, seed=0, lengths=lengths)
    epochs = [order(some, epoch) for epoch in range(20)]
    pairs = [{pair for batch in epoch[:-1] for pair in combinations(sorted(batch), 2)} for epoch in epochs]
    together = [len(one & other) / len(one) for one, other in pairwise(pairs)]
    record_figure(
        f"62 batches, buckets: {sum(together) / len(together):.2f} of a batch's pairs meet again in the next epoch"
    )
    assert sum(together) / len(together) < 0.4
    last = [lengths[epoch[-1]].float().mean() for epoch in epochs]
    # The mean of 160 draws; its standard error is 6.
    assert torch.stack(last).mean() == pytest.approx(lengths.float().mean().item(), abs=24)


def test_a_resumed_epoch_goes_on_with_the_same_batches() -> None:
    whole, some = loader(), loader()
    batches = order(whole, 2)
    some.set_epoch(2)
    for _ in zip(range(100), some, strict=False):
        state = some.state_dict()
    again = loader(seed=9)
    again.load_state_dict(state)
    assert [batch.inputs[:, 0].tolist() for batch in again] == batches[100:]


def test_long_and_short_batches_come_in_no_order() -> None:
    means = torch.tensor([LENGTHS[batch].float().mean() for batch in order(loader(), 0)])
    places = torch.arange(len(means)).float()
    correlation = torch.corrcoef(torch.stack([means, places]))[0, 1]
    following = torch.corrcoef(torch.stack([means[1:], means[:-1]]))[0, 1]
    # Of 250 batches without any order, four standard errors are 0.25.
    assert correlation.abs() < 0.25
    assert following.abs() < 0.25


def test_the_ranks_share_each_batch() -> None:
    whole = order(loader(), 3)
    parts = [order(loader(rank=rank, world_size=2), 3) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]
