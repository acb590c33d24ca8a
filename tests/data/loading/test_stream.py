"""The loader of streams gives what that of tensors gives, whoever reads the samples."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
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
    """Samples that are their own number, made when they are asked for, with the process that made them."""

    def __init__(self, size: int, workers: int = 0, bad: int = -1) -> None:
        self.numbers, self.workers, self.bad = torch.arange(size), workers, bad

    @property
    def size(self) -> int:
        return len(self.numbers)

    def select(self, index: Tensor | slice) -> Batch:
        numbers = self.numbers[index]
        if (numbers == self.bad).any():
            raise InputError(f"sample {self.bad} is broken")
        maker = torch.full_like(numbers, os.getpid())
        return Batch(torch.stack([numbers, maker], dim=1).float(), numbers.clone())


def held(size: int) -> Batch:
    numbers = torch.arange(size)
    return Batch(torch.stack([numbers, torch.zeros_like(numbers)], dim=1).float(), numbers)


def noise(batch: Batch, generator: Generator) -> Batch:
    return batch._replace(inputs=batch.inputs[:, :1] + torch.rand(batch.size, 1, generator=generator))


def numbers(loader: Loader) -> list[list[int]]:
    batches = []
    for batch in loader:
        assert batch.targets is not None
        assert torch.equal(batch.inputs[:, 0].long(), batch.targets)
        batches.append(batch.targets.tolist())
    return batches


@pytest.fixture(scope="module")
def shared() -> StreamLoader:
    """A loader with two workers: to start them takes a moment."""
    return StreamLoader(Numbers(300, workers=2), 150, shuffle=True, seed=3)


@pytest.mark.parametrize("settings", [
    {}, {"shuffle": True}, {"shuffle": True, "rank": 1, "world_size": 3}, {"rank": 2, "world_size": 3},
])  # fmt: skip
@pytest.mark.parametrize(("size", "batch_size"), [(10, 3), (9, 4), (2 * CHUNK + 5, CHUNK + 1), (1, 4), (0, 4)])
def test_the_batches_are_those_of_the_loader_of_tensors(size: int, batch_size: int, settings: dict[str, Any]) -> None:
    wanted = TensorLoader(held(size), batch_size, seed=3, **settings)
    some = StreamLoader(Numbers(size), batch_size, seed=3, **settings)
    assert len(some) == len(wanted)
    for _ in range(2):
        assert numbers(some) == numbers(wanted)


def test_workers_read_the_same_in_the_same_order(shared: StreamLoader) -> None:
    wanted = TensorLoader(held(300), 150, shuffle=True, seed=3)
    makers = set()
    for _ in range(3):
        batches, theirs = list(shared), list(wanted)
        makers |= {int(maker) for batch in batches for maker in batch.inputs[:, 1]}
        assert [batch.targets.tolist() for batch in batches] == [batch.targets.tolist() for batch in theirs]  # type: ignore[union-attr]
    # The same two processes in each epoch, and neither is this one. A process id is exact as a float up to 2^24.
    assert len(makers) == 2
    assert os.getpid() not in makers


def test_an_iterator_that_is_left_leaves_no_batch_behind(shared: StreamLoader) -> None:
    shared.set_epoch(5)
    wanted = numbers(shared)
    for _ in range(2):
        shared.set_epoch(5)
        next(iter(shared))
        shared.set_epoch(5)
        assert numbers(shared) == wanted


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_state_goes_on_where_it_was_taken(stop: int) -> None:
    settings: dict[str, Any] = {"shuffle": True, "seed": 3, "transform": noise}
    unbroken = TensorLoader(held(10), 3, **settings)
    epochs = [[batch.inputs for batch in unbroken] for _ in range(3)]

    broken = StreamLoader(Numbers(10), 3, **settings)
    list(broken)
    batches = iter(broken)
    seen = [next(batches).inputs for _ in range(stop)]
    assert all(torch.equal(a, b) for a, b in zip(seen, epochs[1], strict=False))
    resumed = StreamLoader(Numbers(10), 3, **settings)
    resumed.load_state_dict(broken.state_dict())
    rest = [batch.inputs for batch in resumed]
    wanted = epochs[2] if stop == len(resumed) else epochs[1][stop:]
    assert len(rest) == len(wanted)
    assert all(torch.equal(a, b) for a, b in zip(rest, wanted, strict=True))


def test_the_position_is_that_of_what_was_given_out_and_not_of_what_was_read_ahead(shared: StreamLoader) -> None:
    shared.set_epoch(7)
    next(iter(shared))
    assert shared.state_dict() == {"epoch": 7, "position": 1, "seed": 3}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_told_without_a_traceback(workers: int) -> None:
    some = StreamLoader(Numbers(10, workers, bad=7), 4)
    with pytest.raises(InputError) as caught:
        list(some)
    assert str(caught.value) == "sample 7 is broken"


def test_torchs_own_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    list(StreamLoader(Numbers(10), 4, shuffle=True))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("circle", [[], [0]], ids=["alone", "in a circle of references"])
def test_a_loader_that_is_dropped_in_the_middle_ends_its_workers(circle: list[Any]) -> None:
    gc.collect()
    before = set(multiprocessing.active_children())
    some = StreamLoader(Numbers(300, workers=2), 10, shuffle=True)
    batches = iter(some)
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    if circle:
        circle = [batches, some]
        circle.append(circle)
    gone, began = weakref.ref(some), time.monotonic()
    del some, batches, circle
    gc.collect()
    assert gone() is None
    assert set(multiprocessing.active_children()) <= before
    assert time.monotonic() - began < 5  # As long as PyTorch waits for a worker that was not told to end.


def test_workers_end_with_the_training(quiet_trainer: Callable[..., Any]) -> None:
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
    some = StreamLoader(Numbers(300, workers=2), 10, shuffle=True)
    quiet_trainer(max_steps=40).fit(Line(), some)
    assert set(multiprocessing.active_children()) <= before
    assert some.state_dict()["position"] == 10  # In the second epoch.
    assert len(numbers(some)) == 30  # And it starts others where it is wanted again.


def test_what_the_machine_has() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert 2**20 < free_memory() < 2**50
