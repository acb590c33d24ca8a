"""Token streams: every token is a target once, streams continue across batches, and starts vary by epoch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from primer.batch import Batch
from primer.data.text.text import Text
from primer.data.text.token_stream import TokenStreamLoader
from primer.errors import InputError
from primer.spec import IGNORE


def loader(size: int, streams: int, sequence_length: int, **settings: Any) -> TokenStreamLoader:
    """A loader over the numbers from 0: the token after n is n + 1."""
    return TokenStreamLoader(torch.arange(size), streams, sequence_length, **{"seed": 3, **settings})


def targets(batches: list[Batch]) -> list[int]:
    """Returns the targets that are not ignored. Each is the successor of its input."""
    values = []
    for inputs, expected, lengths in batches:
        assert expected is not None
        assert lengths is None
        mask = expected != IGNORE
        assert torch.equal(expected[mask], inputs[mask] + 1)
        values += expected[mask].tolist()
    return values


@given(
    size=st.integers(0, 80), streams=st.integers(1, 12), sequence_length=st.integers(1, 20),
    processes=st.integers(1, 4), shuffle=st.booleans(), epoch=st.integers(0, 3),
)  # fmt: skip
def test_each_token_except_the_first_is_a_target_once_per_epoch(
    size: int, streams: int, sequence_length: int, processes: int, shuffle: bool, epoch: int
) -> None:
    streams = max(streams, processes)
    values = []
    for rank in range(processes):
        stream = loader(size, streams, sequence_length, shuffle=shuffle, rank=rank, world_size=processes)
        stream.set_epoch(epoch)
        batches = list(stream)
        assert len(batches) == len(stream) == math.ceil(math.ceil(max(0, size - 1) / streams) / sequence_length)
        assert all(batch.inputs.shape[1] <= sequence_length for batch in batches)
        assert len({len(batch.inputs) for batch in batches}) <= 1  # A state can be carried.
        values += targets(batches)
    assert sorted(values) == list(range(1, size))


@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_continues_where_the_previous_batch_ended(shuffle: bool) -> None:
    stream = loader(103, 4, 7, shuffle=shuffle)
    rows = torch.cat([batch.inputs for batch in stream], dim=1)
    breaks = (rows[:, 1:] != rows[:, :-1] + 1).nonzero()
    assert len(breaks) <= int(shuffle)  # The ring wraps around once, from the last pair to the first.
    for row, step in breaks.tolist():
        assert rows[row, step : step + 2].tolist() == [101, 0]


def test_only_the_last_column_has_ignored_targets() -> None:
    batches = list(loader(100, 8, 5))
    ignored = torch.cat([batch.targets == IGNORE for batch in batches], dim=1)  # type: ignore[misc]
    assert not ignored[:, :-1].any()
    assert ignored[:, -1].sum() == 8 * 13 - 99


def test_streams_are_sharded_across_processes() -> None:
    single = list(loader(100, 5, 6, shuffle=True))
    parts = [list(loader(100, 5, 6, shuffle=True, rank=rank, world_size=2)) for rank in range(2)]
    for together, first, second in zip(single, *parts, strict=True):
        assert torch.equal(together.inputs[0::2], first.inputs)
        assert torch.equal(together.inputs[1::2], second.inputs)


def test_epochs_start_at_different_positions_and_are_reproducible() -> None:
    stream, again, other = (loader(1000, 4, 10, shuffle=True, seed=seed) for seed in (3, 3, 4))
    epochs = [[batch.inputs for batch in stream] for _ in range(4)]
    assert len({int(epoch[0][0, 0]) for epoch in epochs}) == 4
    assert len({int(epoch[0][0, 0]) % 10 for epoch in epochs}) > 1  # The boundaries between batches move, too.
    for epoch in epochs:
        assert all(torch.equal(a, b.inputs) for a, b in zip(epoch, again, strict=True))
    assert not torch.equal(epochs[0][0], next(iter(other)).inputs)
    assert int(next(iter(loader(1000, 4, 10))).inputs[0, 0]) == 0


@pytest.mark.parametrize("stop", [0, 1, 3, 4])
def test_loading_a_state_resumes_where_it_was_saved(stop: int) -> None:
    uninterrupted = loader(100, 5, 6, shuffle=True)
    epochs = [[batch.inputs for batch in uninterrupted] for _ in range(3)]
    interrupted = loader(100, 5, 6, shuffle=True)
    list(interrupted)
    batches = iter(interrupted)
    for _ in range(stop):
        next(batches)
    resumed = loader(100, 5, 6, shuffle=True, seed=9)
    resumed.load_state_dict(interrupted.state_dict())
    rest = [batch.inputs for batch in resumed]
    expected = epochs[2] if stop == len(resumed) else epochs[1][stop:]
    assert all(torch.equal(a, b) for a, b in zip(rest, expected, strict=True))


def test_batches_are_copies_of_the_sequence() -> None:
    stream = loader(50, 2, 5)
    next(iter(stream)).inputs.zero_()
    assert torch.equal(stream.tokens, torch.arange(50))


@pytest.mark.parametrize(("streams", "processes"), [(0, 1), (2, 3)])
def test_too_few_streams_are_rejected(streams: int, processes: int) -> None:
    with pytest.raises(InputError, match=f"{streams} streams are too few for {processes} process"):
        loader(10, streams, 5, shuffle=True, world_size=processes)


def test_loaders_of_each_part() -> None:
    data = Text(batch_size=6, sequence_length=10, eval_streams=3, eval_batch_size=7, train_size=2000).prepare()
    assert next(iter(data.train_dataloader())).inputs.shape == (6, 10)
    for stream, part in ((data.val_dataloader(), "val"), (data.test_dataloader(), "test")):
        assert isinstance(stream, TokenStreamLoader)
        batch = next(iter(stream))
        assert batch.inputs.shape == (3, 10)
        assert torch.equal(batch.inputs[0], data.parts[part].inputs[:10])  # type: ignore[index,union-attr]
    data.batch_size = "full"
    (batch,) = data.train_dataloader()
    assert (batch.targets != IGNORE).sum() == 1999  # type: ignore[union-attr]
    assert batch.inputs.shape == (200, 10)
    assert list(Text(val_fraction=0, train_size=10).prepare().val_dataloader()) == []


@pytest.mark.parametrize("name", ["sequence_length", "eval_streams"])
def test_non_positive_settings_are_rejected(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1, not 0"):
        Text(**{name: 0})  # type: ignore[arg-type]
