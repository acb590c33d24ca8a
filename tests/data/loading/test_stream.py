"""The stream loader yields the same batches as the tensor loader, with and without workers."""

from __future__ import annotations

import gc
import multiprocessing
import os
import weakref
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.data.loading.loader import Loader, TensorLoader
from primer.data.loading.stream import CHUNK, Stream, StreamLoader, cores, free_memory
from primer.errors import InputError


class Numbers(Stream):
    """Samples that consist of their number and the id of the process that reads them."""

    def __init__(self, size: int, workers: int = 0, bad: int = -1) -> None:
        self.numbers, self.workers, self.bad = torch.arange(size), workers, bad

    @property
    def size(self) -> int:
        return len(self.numbers)

    def select(self, index: Tensor | slice) -> Batch:
        numbers = self.numbers[index]
        if (numbers == self.bad).any():
            raise InputError(f"sample {self.bad} is broken")
        process = torch.full_like(numbers, os.getpid())
        return Batch(torch.stack([numbers, process], dim=1).float(), numbers.clone())


def in_memory(size: int) -> Batch:
    numbers = torch.arange(size)
    return Batch(torch.stack([numbers, torch.zeros_like(numbers)], dim=1).float(), numbers)


def noise(batch: Batch, generator: Generator) -> Batch:
    return batch._replace(inputs=batch.inputs[:, :1] + torch.rand(batch.size, 1, generator=generator))


def numbers(stream_loader: Loader) -> list[list[int]]:
    batches = []
    for batch in stream_loader:
        assert batch.targets is not None
        assert torch.equal(batch.inputs[:, 0].long(), batch.targets)
        batches.append(batch.targets.tolist())
    return batches


@pytest.fixture(scope="module")
def shared() -> StreamLoader:
    """A loader with two workers, shared because starting them takes a moment."""
    return StreamLoader(Numbers(300, workers=2), 150, shuffle=True, seed=3)


@pytest.mark.parametrize("settings", [
    {}, {"shuffle": True}, {"shuffle": True, "rank": 1, "world_size": 3}, {"rank": 2, "world_size": 3},
])  # fmt: skip
@pytest.mark.parametrize(("size", "batch_size"), [(10, 3), (9, 4), (2 * CHUNK + 5, CHUNK + 1), (1, 4), (0, 4)])
def test_batches_equal_those_of_the_tensor_loader(size: int, batch_size: int, settings: dict[str, Any]) -> None:
    expected = TensorLoader(in_memory(size), batch_size, seed=3, **settings)
    stream_loader = StreamLoader(Numbers(size), batch_size, seed=3, **settings)
    assert len(stream_loader) == len(expected)
    for _ in range(2):
        assert numbers(stream_loader) == numbers(expected)


def test_workers_yield_the_same_batches_in_the_same_order(shared: StreamLoader) -> None:
    tensor_loader = TensorLoader(in_memory(300), 150, shuffle=True, seed=3)
    processes = set()
    for _ in range(3):
        batches, expected = list(shared), list(tensor_loader)
        processes |= {int(process) for batch in batches for process in batch.inputs[:, 1]}
        assert [batch.targets.tolist() for batch in batches] == [batch.targets.tolist() for batch in expected]  # type: ignore[union-attr]
    # The same two processes in each epoch, and not this one. Process ids are exact as floats up to 2^24.
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_an_abandoned_iterator_leaves_no_batches_behind(shared: StreamLoader) -> None:
    shared.set_epoch(5)
    expected = numbers(shared)
    for _ in range(2):
        shared.set_epoch(5)
        next(iter(shared))
        shared.set_epoch(5)
        assert numbers(shared) == expected


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_loading_a_state_resumes_where_it_was_saved(stop: int) -> None:
    settings: dict[str, Any] = {"shuffle": True, "seed": 3, "transform": noise}
    uninterrupted = TensorLoader(in_memory(10), 3, **settings)
    epochs = [[batch.inputs for batch in uninterrupted] for _ in range(3)]

    interrupted = StreamLoader(Numbers(10), 3, **settings)
    list(interrupted)
    batches = iter(interrupted)
    seen = [next(batches).inputs for _ in range(stop)]
    assert all(torch.equal(a, b) for a, b in zip(seen, epochs[1], strict=False))
    resumed = StreamLoader(Numbers(10), 3, **settings)
    resumed.load_state_dict(interrupted.state_dict())
    rest = [batch.inputs for batch in resumed]
    expected = epochs[2] if stop == len(resumed) else epochs[1][stop:]
    assert len(rest) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(rest, expected, strict=True))


def test_the_position_counts_yielded_rather_than_prefetched_batches(shared: StreamLoader) -> None:
    shared.set_epoch(7)
    next(iter(shared))
    assert shared.state_dict() == {"epoch": 7, "position": 1, "seed": 3}


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_are_reported_without_a_traceback(workers: int) -> None:
    stream_loader = StreamLoader(Numbers(10, workers, bad=7), 4)
    with pytest.raises(InputError) as caught:
        list(stream_loader)
    assert str(caught.value) == "sample 7 is broken"


def test_the_global_generator_is_not_changed() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(StreamLoader(Numbers(10), 4, shuffle=True))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("cycle", [[], [0]], ids=["no cycle", "reference cycle"])
def test_an_abandoned_loader_stops_its_workers(cycle: list[Any]) -> None:
    gc.collect()
    before = set(multiprocessing.active_children())
    stream_loader = StreamLoader(Numbers(300, workers=2), 10, shuffle=True)
    batches = iter(stream_loader)
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    if cycle:
        cycle = [batches, stream_loader]
        cycle.append(cycle)
    reference = weakref.ref(stream_loader)
    del stream_loader, batches, cycle
    gc.collect()
    assert reference() is None
    assert set(multiprocessing.active_children()) <= before


def test_workers_stop_after_training(quiet_trainer: Callable[..., Any]) -> None:
    class Line(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            return self.layer(batch.inputs).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0)

        def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
            return batch

    before = set(multiprocessing.active_children())
    stream_loader = StreamLoader(Numbers(300, workers=2), 10, shuffle=True)
    quiet_trainer(max_steps=40).fit(Line(), stream_loader)
    assert set(multiprocessing.active_children()) <= before
    assert stream_loader.state_dict()["position"] == 10  # In the second epoch.
    assert len(numbers(stream_loader)) == 30  # New workers are started when needed.


def test_cores_and_free_memory() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert 2**20 < free_memory() < 2**50
