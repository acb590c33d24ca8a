"""Data loaders with a reproducible sample order, multi-process sharding and mid-epoch resumption."""

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
"""Number of batches whose samples are sorted by length together; enough to keep padding low."""
LENGTH_NOISE = 0.1
"""Relative noise added to lengths before sorting, so that batches differ between epochs even if there are few."""


class Sized(Protocol):
    """A collection with a number of samples."""

    @property
    def size(self) -> int: ...


class Loader(ABC):
    """Iterates over a data set in batches; a subclass defines how the samples of a batch are fetched.

    The order of samples depends only on the seed and the epoch. The loader's whole state is therefore three integers,
    and a resumed run sees the same batches as an uninterrupted one.

    With several processes, each takes its own rows of every batch. Together they form the batch of a single process,
    without duplicated or missing samples.

    Args:
        data: the samples.
        batch_size: samples per batch, summed over processes.
        shuffle: whether to reshuffle every epoch. If so, a last batch of fewer than two samples per process is merged
            into the previous one, since batch normalization cannot train on a single sample.
        transform: function applied to every batch, possibly in place, with a generator seeded from the seed, epoch,
            batch index and rank.
        device: device of the batches.
        rank, world_size: index of this process and number of processes.
        seed: seed of the order; torch's initial seed by default.
        lengths: ``(samples,)`` lengths of padded samples, used to put samples of similar length into the same batch:
            when shuffling, by roughly sorting the samples of ``POOL`` batches at a time and shuffling the batches;
            otherwise, by sorting all samples.
        repeatable: whether the transform draws the same random numbers in every epoch, as it must in evaluation.

    Raises:
        InputError: if ``batch_size`` is less than 1, or less than the number of processes when shuffling.
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
        repeatable: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        if shuffle and batch_size < world_size:
            raise InputError(f"batch_size={batch_size} is too small for {world_size} processes: each needs a sample")
        self.size, self.device = data.size, torch.device(device)
        self.batch_size, self.shuffle, self.transform = batch_size, shuffle, transform
        self.rank, self.world_size, self.lengths = rank, world_size, lengths
        self.seed = torch.initial_seed() if seed is None else seed
        self.epoch, self.position = 0, 0
        self.repeatable = repeatable
        self._started = self._resuming = False

    @abstractmethod
    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        """Yields the samples at each of ``rows`` in turn, on the device."""

    def batch_rows(self, first: int) -> Iterator[Tensor | slice]:
        """Yields this process's rows of each batch of the epoch, starting at batch ``first``."""
        starts = self.batch_starts()
        order = self._order()
        if order is None and self.transform:
            order = torch.arange(self.size)  # Indexing copies; with a slice, the transform would modify stored samples.
        rank, world_size = self.rank, self.world_size
        slices = (slice(start + rank, end, world_size) for start, end in pairwise(starts[first:]))
        return slices if order is None else (order[rows] for rows in slices)

    def __len__(self) -> int:
        return len(self.batch_starts()) - 1

    def __iter__(self) -> Iterator[Batch]:
        if not self._resuming:
            self.epoch, self.position = self.epoch + self._started, 0
        self._started, self._resuming = True, False
        index = self.position
        generator = torch.Generator(self.device) if self.transform else None
        for batch in self.fetch(self.batch_rows(index)):
            if self.transform and generator:
                generator.manual_seed(self.derive_seed(0 if self.repeatable else self.epoch, index, self.rank))
                batch = self.transform(batch, generator)
            index += 1
            self.position = index
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch to iterate over next. A state loaded from the middle of that epoch is kept."""
        if epoch != self.epoch:
            self.epoch, self.position, self._resuming = epoch, 0, False
        self._started = False

    @property
    def batch_sampler(self) -> SimpleNamespace:
        """Lightning looks for a loader's ``set_epoch`` here."""
        return SimpleNamespace(sampler=self)

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch, the number of its batches yielded so far, and the seed."""
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues where ``state`` was saved, or with the next epoch if that epoch was complete."""
        self.epoch, self.position, self.seed = state["epoch"], state["position"], state["seed"]
        self._resuming = 0 < self.position < len(self)
        self._started = self.position >= len(self)

    def batch_starts(self) -> list[int]:
        """Returns the start of each batch, followed by the end of the last one."""
        size = self.size
        starts = [*range(0, size, self.batch_size), size]
        if self.shuffle and len(starts) > 2 and size - starts[-2] < 2 * self.world_size:
            del starts[-2]
        return starts

    def derive_seed(self, *numbers: int) -> int:
        """Combines the loader's seed with ``numbers``."""
        return hash((self.seed, *numbers)) % 2**63

    def _order(self) -> Tensor | None:
        if not self.shuffle:
            return None if self.lengths is None else self.lengths.argsort(stable=True)
        generator = torch.Generator().manual_seed(self.derive_seed(self.epoch))
        order = torch.randperm(self.size, generator=generator)
        return order if self.lengths is None else bucket_by_length(order, self.lengths, self.batch_size, generator)


class TensorLoader(Loader):
    """A loader over a data set held in tensors: a batch is a single indexing operation, without per-sample Python code
    or workers.

    Args:
        data: the samples.
        batch_size: samples per batch, summed over processes.
        tagged: whether targets have the same time steps as inputs.
        target_lengths: ``(samples,)`` on the CPU, the number of target steps to use for each sample; each batch is cut
            to the largest of them. All steps by default.
        **settings: see ``Loader``.
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
        return (self._select(batch_rows).to(self.device) for batch_rows in rows)

    def _select(self, rows: Tensor | slice) -> Batch:
        batch = self.data.select(rows, self.tagged)
        if self.target_lengths is None or batch.targets is None or not batch.size:
            return batch
        return batch._replace(targets=batch.targets[:, : int(self.target_lengths[rows].max())])


def bucket_by_length(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Returns a random order in which the samples of a batch have similar lengths but consecutive batches do not.
    The last, incomplete batch holds random samples, not the longest ones."""
    full = len(order) // batch_size * batch_size
    noisy = lengths * (1 + LENGTH_NOISE * torch.rand(len(lengths), generator=generator))
    pools = [pool[noisy[pool].argsort(stable=True)] for pool in order[:full].split(POOL * batch_size)]
    batches = torch.cat(pools).view(-1, batch_size)
    batches = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([batches.flatten(), order[full:]])


def fits_on_device(data: Batch, device: torch.device) -> bool:
    """Whether to keep the data set on the device: always for the CPU, otherwise if it takes at most half of the free
    memory."""
    if device.type == "cuda":
        return data.nbytes * 2 <= torch.cuda.mem_get_info(device)[0]
    return True
