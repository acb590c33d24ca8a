"""Data loaders: the order of the samples, the share of each process, and where a resumed run goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError

POOL = 100
"""Batches whose samples are sorted by length together: enough for little padding."""
JITTER = 0.1
"""The share by which lengths are blurred where they are sorted, so that even few batches are others in each epoch."""


class Sized(Protocol):
    """Samples that can be counted."""

    @property
    def size(self) -> int: ...


class Loader(ABC):
    """Iterates over a data set batch by batch; a subclass says how the samples of a batch are fetched.

    The order of an epoch depends on the seed and the number of the epoch alone, so the loader's whole state is
    three integers and a resumed run sees the batches that the unbroken one would have seen.

    With several processes, each takes its own rows of every batch: together they make up the batch of a single
    process, with no sample twice and none left out.

    Args:
        data: the samples.
        batch_size: samples in a batch, all processes together.
        shuffle: a new order each epoch. A last batch of fewer than two samples a process is then joined to the one
            before it, since batch normalization cannot learn from a single sample.
        transform: applied to every batch, which it may change in place, with a generator that is seeded by seed,
            epoch, batch and rank.
        device: where the batches are wanted.
        rank, world_size: this process and the number of them.
        seed: of the order; the initial seed of torch by default.
        lengths: ``(samples,)`` of padded samples, so that those of like length are put into the same batch: to train,
            by roughly sorting the samples of ``POOL`` batches at a time and shuffling the batches, else by sorting all.

    Raises:
        ValueError: where a batch holds no sample, or less than one for each process that trains.
    """

    def __init__(
        self,
        data: Sized,
        batch_size: int,
        *,
        shuffle: bool = False,
        transform: Callable[[Batch, torch.Generator], Batch] | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        seed: int | None = None,
        lengths: Tensor | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        if shuffle and batch_size < world_size:
            raise InputError(f"batch_size={batch_size} is less than a sample for each of {world_size} processes")
        self.size, self.device = data.size, torch.device(device)
        self.batch_size, self.shuffle, self.transform = batch_size, shuffle, transform
        self.rank, self.world_size, self.lengths = rank, world_size, lengths
        self.seed = torch.initial_seed() if seed is None else seed
        self.epoch, self.position = 0, 0
        self._started = self._resuming = False

    @abstractmethod
    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        """The samples at each of ``rows``, in turn, on the device."""

    def __len__(self) -> int:
        return len(self._starts()) - 1

    def __iter__(self) -> Iterator[Batch]:
        if not self._resuming:
            self.epoch, self.position = self.epoch + self._started, 0
        self._started, self._resuming = True, False
        number = self.position
        generator = torch.Generator(self.device) if self.transform else None
        for batch in self.fetch(self._rows(number)):
            if self.transform and generator:
                generator.manual_seed(self._seed_of(self.epoch, number, self.rank))
                batch = self.transform(batch, generator)
            number += 1
            self.position = number
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Makes ``epoch`` the one that is iterated over next; a state loaded from within that epoch stands."""
        if epoch != self.epoch:
            self.epoch, self.position, self._resuming = epoch, 0, False
        self._started = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Where Lightning looks for the ``set_epoch`` of a loader."""
        return SimpleNamespace(sampler=self)

    def state_dict(self) -> dict[str, int]:
        """The epoch, the number of batches of it that were given out, and the seed."""
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on where ``state`` was taken; after a whole epoch, with the next one."""
        self.epoch, self.position, self.seed = state["epoch"], state["position"], state["seed"]
        self._resuming = 0 < self.position < len(self)
        self._started = self.position >= len(self)

    def _rows(self, first: int) -> Iterator[Tensor | slice]:
        """The rows of this process in each batch of the epoch, from the batch number ``first`` on."""
        starts = self._starts()
        order = self._order()
        if order is None and self.transform:
            order = torch.arange(self.size)  # A copy: a slice would let the transform at the stored samples.
        rank, world_size = self.rank, self.world_size
        rows = (slice(start + rank, end, world_size) for start, end in pairwise(starts[first:]))
        return rows if order is None else (order[some] for some in rows)

    def _starts(self) -> list[int]:
        """Where each batch starts, and where the last one ends."""
        size = self.size
        starts = [*range(0, size, self.batch_size), size]
        if self.shuffle and len(starts) > 2 and size - starts[-2] < 2 * self.world_size:
            del starts[-2]
        return starts

    def _order(self) -> Tensor | None:
        if not self.shuffle:
            return None if self.lengths is None else self.lengths.argsort(stable=True)
        generator = torch.Generator().manual_seed(self._seed_of(self.epoch))
        order = torch.randperm(self.size, generator=generator)
        return order if self.lengths is None else bucketed(order, self.lengths, self.batch_size, generator)

    def _seed_of(self, *numbers: int) -> int:
        return hash((self.seed, *numbers)) % 2**63


class TensorLoader(Loader):
    """A loader over a data set that is held as tensors: a batch is one index into them, with no Python per sample and
    no workers.

    Args:
        data: the samples.
        batch_size: samples in a batch, all processes together.
        tagged: whether targets have the same steps as inputs.
        target_lengths: ``(samples,)`` on the CPU, how many steps of each sample's targets are wanted, so that a batch
            has no more than the most of them; all by default.
        **settings: as ``Loader`` takes them.
    """

    def __init__(
        self,
        data: Batch,
        batch_size: int,
        *,
        tagged: bool = False,
        target_lengths: Tensor | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(data, batch_size, **settings)
        self.data = data.to(self.device) if fits_on_device(data, self.device) else data
        self.tagged, self.target_lengths = tagged, target_lengths

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        return (self._select(some).to(self.device) for some in rows)

    def _select(self, rows: Tensor | slice) -> Batch:
        batch = self.data.select(rows, self.tagged)
        if self.target_lengths is None or batch.targets is None or not batch.size:
            return batch
        return batch._replace(targets=batch.targets[:, : int(self.target_lengths[rows].max())])


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """A random order in which samples of like length follow each other within a batch, and the batches do not. The
    samples that fill no batch are any, not the longest, and come last."""
    full = len(order) // batch_size * batch_size
    blurred = lengths * (1 + JITTER * torch.rand(len(lengths), generator=generator))
    pools = [some[blurred[some].argsort(stable=True)] for some in order[:full].split(POOL * batch_size)]
    batches = torch.cat(pools).view(-1, batch_size)
    batches = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([batches.flatten(), order[full:]])


def fits_on_device(data: Batch, device: torch.device) -> bool:
    """Whether the data set may live on the device: always on the CPU, else if it takes at most half of what is free."""
    if device.type == "cuda":
        return data.nbytes * 2 <= torch.cuda.mem_get_info(device)[0]
    return True
