"""Bucketing by length: the amount of padding, and the order of batches."""

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


def padding_fraction(loader: TensorLoader) -> float:
    """Returns the fraction of an epoch's tokens that is padding."""
    real = total = 0
    for batch in loader:
        assert batch.lengths is not None
        real += int(batch.lengths.sum())
        total += batch.inputs.shape[0] * batch.inputs.shape[1]
    return 1 - real / total


def padding_without_buckets(loader: TensorLoader) -> float:
    plain = TensorLoader(loader.data, loader.batch_size, shuffle=True, tagged=loader.tagged, seed=0)
    return padding_fraction(plain)


@pytest.mark.parametrize("kind", [PosTags, Opinions])
@pytest.mark.parametrize("batch_size", [32, 64])
def test_batches_have_little_padding(
    kind: type[PosTags] | type[Opinions], batch_size: int, record_figure: Callable[[str], None]
) -> None:
    data = kind(batch_size=batch_size, eval_batch_size=batch_size).prepare()
    loader = data.loader("train", train=True)
    assert isinstance(loader, TensorLoader)
    padding, without = padding_fraction(loader), padding_without_buckets(loader)
    record_figure(f"{kind.__name__}, batches of {batch_size}: {padding:.4f} padding; {without:.4f} without buckets")
    assert padding <= 0.1 < without
    assert padding_fraction(data.loader("test", train=False)) <= 0.1  # type: ignore[arg-type]


def test_brown_has_little_padding(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    folder = data_dir_or_skip("pos/brown-train.conllu").parents[1]
    files = {part: f"pos/brown-{part}.conllu" for part in ("train", "dev", "test")}
    data = CoNLLU(**files, data_dir=folder, batch_size=32).prepare()
    loader = data.loader("train", train=True)
    assert isinstance(loader, TensorLoader)
    padding, without = padding_fraction(loader), padding_without_buckets(loader)
    record_figure(f"Brown, batches of 32: {padding:.4f} padding; {without:.4f} without buckets")
    assert padding <= 0.1 < without


LENGTHS = torch.randint(1, 30, (1000,), generator=torch.Generator().manual_seed(0))


def loader(seed: int = 0, **settings: int) -> TensorLoader:
    """A loader over 1000 sequences, whose first step is the number of the sequence."""
    steps = torch.zeros(1000, 30, dtype=torch.long)
    steps[:, 0] = torch.arange(1000)
    return TensorLoader(Batch(steps, None, LENGTHS), 4, shuffle=True, seed=seed, lengths=LENGTHS, **settings)


def order(batches: TensorLoader, epoch: int) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [batch.inputs[:, 0].tolist() for batch in batches]


def test_the_order_is_random_and_determined_by_seed_and_epoch() -> None:
    first, second = order(loader(), 0), order(loader(), 1)
    assert order(loader(), 0) == first
    assert first != second
    assert order(loader(seed=1), 0) != first
    assert sorted(number for batch in first for number in batch) == list(range(1000))
    assert {frozenset(batch) for batch in first}.isdisjoint({frozenset(batch) for batch in second})


def test_batches_differ_between_epochs_even_if_there_are_few(record_figure: Callable[[str], None]) -> None:
    """1000 samples of very different lengths in batches of 16: a single pool, and 8 samples in the last batch."""
    lengths = torch.randint(1, 257, (1000,), generator=torch.Generator().manual_seed(0))
    steps = torch.arange(1000)[:, None].expand(1000, 257)
    batches = TensorLoader(Batch(steps, None, lengths), 16, shuffle=True, seed=0, lengths=lengths)
    epochs = [order(batches, epoch) for epoch in range(20)]
    pairs = [{pair for batch in epoch[:-1] for pair in combinations(sorted(batch), 2)} for epoch in epochs]
    repeated = [len(current & following) / len(current) for current, following in pairwise(pairs)]
    record_figure(
        f"62 batches, buckets: {sum(repeated) / len(repeated):.2f} of a batch's pairs share a batch in the next epoch"
    )
    assert sum(repeated) / len(repeated) < 0.4
    last = [lengths[epoch[-1]].float().mean() for epoch in epochs]
    # The mean of 160 draws has a standard error of 6.
    assert torch.stack(last).mean() == pytest.approx(lengths.float().mean().item(), abs=24)


def test_a_resumed_epoch_continues_with_the_same_batches() -> None:
    uninterrupted, interrupted = loader(), loader()
    batches = order(uninterrupted, 2)
    interrupted.set_epoch(2)
    for _ in zip(range(100), interrupted, strict=False):
        state = interrupted.state_dict()
    resumed = loader(seed=9)
    resumed.load_state_dict(state)
    assert [batch.inputs[:, 0].tolist() for batch in resumed] == batches[100:]


def test_batches_are_not_ordered_by_length() -> None:
    means = torch.tensor([LENGTHS[batch].float().mean() for batch in order(loader(), 0)])
    positions = torch.arange(len(means)).float()
    correlation = torch.corrcoef(torch.stack([means, positions]))[0, 1]
    autocorrelation = torch.corrcoef(torch.stack([means[1:], means[:-1]]))[0, 1]
    # For 250 batches in random order, four standard errors are 0.25.
    assert correlation.abs() < 0.25
    assert autocorrelation.abs() < 0.25


def test_ranks_share_each_batch() -> None:
    single = order(loader(), 3)
    parts = [order(loader(rank=rank, world_size=2), 3) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in single]
