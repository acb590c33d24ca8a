"""A loader for data that does not fit in memory: worker processes read batches while the model computes."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from primer.batch import Batch
from primer.data.loading.loader import Loader
from primer.errors import InputError

CHUNK = 64
"""Samples that a worker reads at once. A large batch consists of several chunks, so that all workers share it."""


class Stream(ABC):
    """Samples of equal shape that are read on demand.

    Attributes:
        workers: number of worker processes that read samples; with 0, the calling process reads them.
    """

    workers: int = 0

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of samples."""

    @abstractmethod
    def select(self, index: Tensor | slice) -> Batch:
        """Returns the samples at ``index``. Raises ``InputError`` if one cannot be read."""


class StreamLoader(Loader):
    """A loader over a stream. Yields the same batches as ``TensorLoader`` over the same samples, from persistent
    workers that prefetch, through pinned memory on CUDA.

    Args:
        data: the samples.
        batch_size: samples per batch, summed over processes.
        **settings: see ``Loader``.

    Raises:
        InputError: during iteration, if a sample cannot be read.
    """

    def __init__(self, data: Stream, batch_size: int, **settings: Any) -> None:
        super().__init__(data, batch_size, **settings)
        self.data = data
        self._sampler = ChunkSampler()
        self._chunks = DataLoader(
            ChunkDataset(data),
            batch_size=None,
            sampler=self._sampler,
            num_workers=data.workers,
            persistent_workers=data.workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # A separate one: drawing from torch's would change later random numbers.
        )
        # Keep a reference outside of the loader while it lives. If it were collected as part of a reference cycle, its
        # queues would be gone before its workers are told to exit, and each join would time out after five seconds.
        weakref.finalize(self, lambda held: None, self._chunks)

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        counts: deque[int] = deque()  # The number of chunks of each pending batch.
        self._sampler.chunks = split_into_chunks(rows, self.size, counts)
        chunks = iter(self._chunks)
        for first in chunks:
            parts = [first, *islice(chunks, counts.popleft() - 1)]
            yield concatenate([raise_worker_error(part).to(self.device) for part in parts])

    @property
    def _iterator(self) -> Any:
        """Lightning looks for workers here, to shut them down when they are done."""
        return self._chunks._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        self._chunks._iterator = iterator


class ChunkSampler:
    """Yields the rows to read next, one chunk at a time, as the sampler of the ``DataLoader``."""

    chunks: Iterator[np.ndarray] = iter(())

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.chunks


def split_into_chunks(rows: Iterator[Tensor | slice], size: int, counts: deque[int]) -> Iterator[np.ndarray]:
    """Yields the rows of all batches in chunks, appending the number of chunks of each batch to ``counts``.

    This must not hold a reference to the loader, which could otherwise never be freed.
    """
    for batch_rows in rows:
        index = torch.arange(size)[batch_rows] if isinstance(batch_rows, slice) else batch_rows
        parts = index.split(CHUNK)
        counts.append(len(parts))
        yield from (part.numpy() for part in parts)


class ChunkDataset(Dataset):
    """A stream as a map-style ``Dataset`` of chunks. An ``InputError`` is returned as its message, since one raised in
    a worker would contain a traceback."""

    def __init__(self, data: Stream) -> None:
        self.data = data

    def __getitem__(self, index: np.ndarray) -> Batch | str:
        try:
            return self.data.select(torch.from_numpy(index))
        except InputError as error:
            return str(error)


def raise_worker_error(part: Batch | str) -> Batch:
    """Returns the chunk, or raises ``InputError`` if the worker returned an error message instead."""
    if isinstance(part, str):
        raise InputError(part)
    return part


def concatenate(parts: list[Batch]) -> Batch:
    """Concatenates batches."""
    if len(parts) == 1:
        return parts[0]
    return Batch(*(None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True)))  # type: ignore[arg-type]


def cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Returns the available memory in bytes (free or reclaimable), capped by the container's limit."""
    limits = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # The file does not exist, or holds "max" (no limit).
            limits.append(int(Path(file).read_text()))
    return min(limits, default=4 * 2**30)  # 4 GiB if the system does not report any.
