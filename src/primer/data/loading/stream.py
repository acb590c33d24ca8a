"""A loader for what does not fit in memory: worker processes read the samples of a batch while the model computes."""

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
"""What a worker reads in one go. A large batch is several chunks, so that all workers share in it."""


class Stream(ABC):
    """Samples that are read when they are asked for, all of one shape.

    Attributes:
        workers: how many processes read them; with 0, the one that asks does.
    """

    workers: int = 0

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of samples."""

    @abstractmethod
    def select(self, index: Tensor | slice) -> Batch:
        """The samples at ``index``. Raises ``InputError`` where one cannot be read."""


class StreamLoader(Loader):
    """A loader over a stream: the same batches as those of ``TensorLoader`` over the same samples, from persistent
    workers that read ahead, through pinned memory where there is CUDA.

    Args:
        data: the samples.
        batch_size: samples in a batch, all processes together.
        **settings: as ``Loader`` takes them.

    Raises:
        ValueError: where a sample cannot be read, while the loader is iterated over.
    """

    def __init__(self, data: Stream, batch_size: int, **settings: Any) -> None:
        super().__init__(data, batch_size, **settings)
        self.data = data
        self._plan = ChunkSampler()
        self._chunks = DataLoader(
            Chunks(data),
            batch_size=None,
            sampler=self._plan,
            num_workers=data.workers,
            persistent_workers=data.workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # Its own: torch's would give other numbers to all that draws from it later.
        )
        # Something outside has to hold it while the loader lives. In a circle of references, its queues would be gone
        # before its workers are told to end, and each would be waited for in vain for five seconds.
        weakref.finalize(self, lambda held: None, self._chunks)

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        counts: deque[int] = deque()  # The chunks of each batch that is on its way.
        self._plan.chunks = in_chunks(rows, self.size, counts)
        arriving = iter(self._chunks)
        for first in arriving:
            parts = [first, *islice(arriving, counts.popleft() - 1)]
            yield join([raise_worker_error(part).to(self.device) for part in parts])

    @property
    def _iterator(self) -> Any:
        """Where Lightning looks for workers, to end them when they have done their work."""
        return self._chunks._iterator

    @_iterator.setter
    def _iterator(self, iterator: None) -> None:
        self._chunks._iterator = iterator


class ChunkSampler:
    """Which rows are to be read next: what the workers are handed, in place of a sampler."""

    chunks: Iterator[np.ndarray] = iter(())

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.chunks


def in_chunks(rows: Iterator[Tensor | slice], size: int, counts: deque[int]) -> Iterator[np.ndarray]:
    """The rows of all batches in chunks, and into ``counts`` the number of chunks of each batch.

    It knows nothing of the loader, which could otherwise never be freed.
    """
    for some in rows:
        index = torch.arange(size)[some] if isinstance(some, slice) else some
        parts = index.split(CHUNK)
        counts.append(len(parts))
        yield from (part.numpy() for part in parts)


class Chunks(Dataset):
    """A stream in the form that ``DataLoader`` takes. An error of the user is handed on as its message, since from a
    worker it would come with a traceback in it."""

    def __init__(self, data: Stream) -> None:
        self.data = data

    def __getitem__(self, index: np.ndarray) -> Batch | str:
        try:
            return self.data.select(torch.from_numpy(index))
        except InputError as error:
            return str(error)


def raise_worker_error(part: Batch | str) -> Batch:
    """A chunk as it came. Raises ``InputError`` where a message came in its place."""
    if isinstance(part, str):
        raise InputError(part)
    return part


def join(parts: list[Batch]) -> Batch:
    """Batches one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Batch(*(None if column[0] is None else torch.cat(column) for column in zip(*parts, strict=True)))  # type: ignore[arg-type]


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """How many bytes of memory are free, or become so when they are wanted; no more than a container may have."""
    found = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # No such file, or no limit: the word "max".
            found.append(int(Path(limit).read_text()))
    return min(found, default=4 * 2**30)  # 4 GiB where the system does not say.
