"""The tensor loader: sample order, sharding across processes, and resumption."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from primer.batch import Batch
from primer.data.loading.loader import TensorLoader
from primer.errors import InputError
from primer.spec import IGNORE


def data(size: int) -> Batch:
    return Batch(torch.arange(size).float().view(-1, 1), torch.arange(size))


def loader(size: int, batch_size: int, **settings: Any) -> TensorLoader:
    return TensorLoader(data(size), batch_size, **{"seed": 3, **settings})  # type: ignore[arg-type]


def labels(batch: Batch) -> Tensor:
    assert batch.targets is not None
    return batch.targets


def epoch(samples_loader: TensorLoader) -> list[list[int]]:
    """Returns the samples of each batch."""
    batches = []
    for batch in samples_loader:
        assert torch.equal(batch.inputs[:, 0].long(), labels(batch))
        batches.append(labels(batch).tolist())
    return batches


def flat(batches: list[list[int]]) -> list[int]:
    return [sample for batch in batches for sample in batch]


@given(size=st.integers(0, 60), batch_size=st.integers(1, 20), shuffle=st.booleans())
def test_an_epoch_contains_every_sample_once(size: int, batch_size: int, shuffle: bool) -> None:
    samples_loader = loader(size, batch_size, shuffle=shuffle)
    batches = epoch(samples_loader)
    assert sorted(flat(batches)) == list(range(size))
    assert len(batches) == len(samples_loader)
    assert all(len(batch) == batch_size for batch in batches[:-2])
    if not shuffle:
        assert flat(batches) == list(range(size))


@settings(max_examples=60)
@given(
    size=st.integers(4, 60), batch_size=st.integers(4, 20), world_size=st.integers(1, 4), shuffle=st.booleans()
)  # fmt: skip
def test_ranks_together_yield_the_batches_of_one_process(
    size: int, batch_size: int, world_size: int, shuffle: bool
) -> None:
    ranks = [
        loader(size, batch_size, shuffle=shuffle, rank=rank, world_size=world_size) for rank in range(world_size)
    ]  # fmt: skip
    assert len({len(rank_loader) for rank_loader in ranks}) == 1
    parts = [epoch(rank_loader) for rank_loader in ranks]
    together = [sorted(flat([part[k] for part in parts])) for k in range(len(ranks[0]))]
    assert sorted(flat(together)) == list(range(size))
    if shuffle:
        assert all(len(part[k]) >= 1 for part in parts for k in range(len(part)))
    sizes = [sorted(len(part[k]) for part in parts) for k in range(len(ranks[0]))]
    assert all(counts[-1] - counts[0] <= 1 for counts in sizes)
    if not shuffle or size % batch_size >= 2 * world_size or size % batch_size == 0:
        single = epoch(loader(size, batch_size, shuffle=shuffle))
        if len(single) == len(together):
            assert together == [sorted(batch) for batch in single]


def test_the_order_depends_only_on_seed_and_epoch() -> None:
    torch.manual_seed(0)
    samples_loader = loader(20, 6, shuffle=True)
    first, second, third = epoch(samples_loader), epoch(samples_loader), epoch(samples_loader)
    assert first != second != third != first
    assert flat(first) != sorted(flat(first))

    torch.manual_seed(1)  # The state of torch's global generator does not matter.
    again = loader(20, 6, shuffle=True)
    again.set_epoch(2)
    assert epoch(again) == third
    again.set_epoch(0)
    torch.rand(3)
    assert epoch(again) == first
    assert epoch(again) == second
    assert epoch(loader(20, 6, shuffle=True, seed=4)) != first
    assert epoch(loader(20, 6, shuffle=True, seed=0)) != first


def test_the_default_seed_is_that_of_torch() -> None:
    torch.manual_seed(11)
    torch.rand(5)
    assert epoch(TensorLoader(data(20), 6, shuffle=True)) == epoch(loader(20, 6, shuffle=True, seed=11))


def test_ranks_share_the_order_but_not_the_augmentation() -> None:
    def noise(batch: Batch, generator: Generator) -> Batch:
        return batch._replace(inputs=torch.rand(batch.inputs.shape, generator=generator))

    ranks = [loader(8, 4, shuffle=True, rank=rank, world_size=2, transform=noise) for rank in (0, 1)]
    batches = [list(rank_loader) for rank_loader in ranks]
    assert sorted(flat([labels(batch).tolist() for part in batches for batch in part])) == list(range(8))
    drawn = torch.cat([batch.inputs for part in batches for batch in part]).flatten()
    assert len(drawn.unique()) == 8
    assert torch.equal(
        next(iter(loader(8, 4, shuffle=True, world_size=2, transform=noise))).inputs, batches[0][0].inputs
    )


@pytest.mark.parametrize(
    ("size", "batch_size", "world_size", "expected"),
    [
        (9, 4, 1, [4, 5]),  # A last batch of one sample is merged into the previous one.
        (10, 4, 1, [4, 4, 2]),
        (8, 4, 1, [4, 4]),
        (11, 4, 2, [4, 7]),  # Two processes need at least four samples.
        (12, 4, 2, [4, 4, 4]),
        (1, 4, 1, [1]),  # There is no previous batch.
        (3, 4, 1, [3]),
    ],
)
def test_a_small_last_batch_is_merged_when_shuffling(
    size: int, batch_size: int, world_size: int, expected: list[int]
) -> None:
    ranks = [epoch(loader(size, batch_size, shuffle=True, rank=r, world_size=world_size)) for r in range(world_size)]
    assert [sum(map(len, parts)) for parts in zip(*ranks, strict=True)] == expected
    plain = [len(batch) for batch in epoch(loader(size, batch_size))]
    assert plain == [min(batch_size, size - start) for start in range(0, size, batch_size)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_loading_a_state_resumes_where_it_was_saved(shuffle: bool, stop: int) -> None:
    uninterrupted = loader(10, 3, shuffle=shuffle)
    epochs = [epoch(uninterrupted) for _ in range(3)]

    interrupted = loader(10, 3, shuffle=shuffle)
    epoch(interrupted)
    batches = iter(interrupted)
    seen = [labels(next(batches)).tolist() for _ in range(stop)]
    state = interrupted.state_dict()
    if stop:
        assert seen == epochs[1][:stop]

    resumed = loader(10, 3, shuffle=shuffle)
    resumed.load_state_dict(state)
    complete = stop in (
        0,
        len(resumed),
    )  # Before the first batch of the second epoch, the state is the end of the first.
    if not complete:
        assert epoch(resumed) == epochs[1][stop:]
    elif stop == 0:
        assert epoch(resumed) == epochs[1]
    assert epoch(resumed) == epochs[2]


def test_states_saved_at_the_start_and_at_the_end_of_an_epoch() -> None:
    fresh, used = loader(10, 3, shuffle=True, seed=4), loader(10, 3, shuffle=True)  # The seed is loaded with the state.
    start = used.state_dict()
    first = epoch(used)
    end = used.state_dict()
    second = epoch(used)
    fresh.load_state_dict(start)
    assert epoch(fresh) == first
    fresh.load_state_dict(end)
    assert epoch(fresh) == second


def test_set_epoch_keeps_only_a_state_from_the_middle_of_that_epoch() -> None:
    used = loader(10, 3, shuffle=True)
    epochs = [epoch(used) for _ in range(4)]
    used.set_epoch(2)
    batches = iter(used)
    next(batches)
    state = used.state_dict()

    same, other = loader(10, 3, shuffle=True), loader(10, 3, shuffle=True)
    same.load_state_dict(state)
    same.set_epoch(2)
    assert epoch(same) == epochs[2][1:]
    same.set_epoch(2)
    assert epoch(same) == epochs[2]
    other.load_state_dict(state)
    other.set_epoch(3)
    assert epoch(other) == epochs[3]


def test_an_abandoned_iterator_restarts() -> None:
    samples_loader = loader(10, 3, shuffle=True)
    samples_loader.set_epoch(1)
    batches = iter(samples_loader)
    next(batches)
    samples_loader.set_epoch(1)
    assert sorted(flat(epoch(samples_loader))) == list(range(10))


def test_lightning_calls_set_epoch() -> None:
    from lightning.fabric.utilities.data import _set_sampler_epoch

    samples_loader = loader(10, 3, shuffle=True)
    _set_sampler_epoch(samples_loader, 5)
    assert samples_loader.state_dict()["epoch"] == 5


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_transform_cannot_change_the_stored_data(shuffle: bool) -> None:
    def overwrite(batch: Batch, generator: Generator) -> Batch:
        batch.inputs.fill_(-1)
        labels(batch).fill_(-1)
        return batch

    stored = data(10)
    for batch in TensorLoader(stored, 4, shuffle=shuffle, transform=overwrite):
        assert (batch.inputs == -1).all()
    assert torch.equal(stored.inputs, data(10).inputs)
    assert torch.equal(labels(stored), labels(data(10)))


def test_transforms_are_reproducible_after_resuming() -> None:
    def noise(batch: Batch, generator: Generator) -> Batch:
        return batch._replace(inputs=torch.rand(batch.inputs.shape, generator=generator))

    uninterrupted = loader(10, 3, shuffle=True, transform=noise)
    complete = [batch.inputs for batch in uninterrupted]
    assert len(torch.cat(complete).unique()) == 10
    resumed = loader(10, 3, shuffle=True, transform=noise)
    resumed.load_state_dict({"epoch": 0, "position": 2, "seed": 3})
    for expected, actual in zip(complete[2:], resumed, strict=True):
        assert torch.equal(expected, actual.inputs)
    assert not torch.equal(next(iter(resumed)).inputs, complete[0])


def sentences() -> Batch:
    lengths = torch.tensor([1, 4, 2, 3, 1])
    steps = torch.arange(6) < lengths.view(-1, 1)
    words = torch.where(steps, torch.arange(30).view(5, 6) + 2, 0)
    return Batch(words, torch.where(steps, words, IGNORE), lengths)


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_cut_to_their_longest_sample(shuffle: bool) -> None:
    stored = sentences()
    seen = 0
    for batch in TensorLoader(stored, 2, shuffle=shuffle, tagged=True, seed=0):
        assert batch.lengths is not None
        assert batch.targets is not None
        assert batch.inputs.shape[1] == batch.targets.shape[1] == batch.lengths.max()
        for words, tags, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
            assert (words[:length] > 1).all()
            assert torch.equal(words[:length], tags[:length])
            assert (words[length:] == 0).all()
            assert (tags[length:] == IGNORE).all()
            seen += int(length)
    assert seen == stored.lengths.sum()  # pyright: ignore[reportOptionalMemberAccess]


def test_targets_that_are_not_aligned_with_inputs_are_not_cut() -> None:
    batch = next(iter(TensorLoader(sentences(), 1, seed=0)))
    assert batch.inputs.shape == (1, 1)
    assert batch.targets is not None
    assert batch.targets.shape == (1, 6)


def test_a_rank_without_samples_yields_an_empty_batch() -> None:
    samples_loader = TensorLoader(sentences(), 4, tagged=True, rank=3, world_size=4, seed=0)
    sizes = [batch.size for batch in samples_loader]
    assert sizes == [1, 0]


def test_targets_may_be_absent() -> None:
    batches = list(TensorLoader(Batch(torch.arange(5.0).view(-1, 1)), 2, shuffle=True))
    assert all(batch.targets is None for batch in batches)
    assert sorted(torch.cat([batch.inputs for batch in batches]).flatten().tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("batch_size", [0, -3])
def test_non_positive_batch_sizes_are_rejected(batch_size: int) -> None:
    with pytest.raises(InputError, match=f"batch_size must be at least 1, not {batch_size}"):
        loader(10, batch_size)


def test_a_training_batch_smaller_than_the_number_of_processes_is_rejected() -> None:
    with pytest.raises(InputError, match="batch_size=3 is too small for 4 processes"):
        loader(10, 3, shuffle=True, world_size=4)
    assert len(loader(10, 3, world_size=4)) == 4  # Evaluation allows empty batches.


@pytest.mark.skipif(not torch.cuda.is_available(), reason="requires a GPU")
def test_data_that_does_not_fit_is_moved_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(batch: Batch, generator: Generator) -> Batch:
        drawn: Tensor = torch.rand(batch.inputs.shape, generator=generator, device=batch.inputs.device)
        return batch._replace(inputs=drawn)

    monkeypatch.setattr("primer.data.loading.loader.fits_on_device", lambda data, device: False)
    samples_loader = TensorLoader(data(10), 3, shuffle=True, transform=noise, device="cuda")
    assert samples_loader.data.inputs.device.type == "cpu"
    assert all(batch.inputs.device.type == "cuda" for batch in samples_loader)


def test_consecutive_epochs_have_different_orders() -> None:
    samples_loader = loader(64, 64, shuffle=True)
    orders = [flat(epoch(samples_loader)) for _ in range(5)]
    assert all(a != b for a, b in pairwise(orders))
