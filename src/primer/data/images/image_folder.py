"""Pictures in folders, one for each class."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.stream import Stream, cores, free_memory
from primer.data.readers.decoding import decode
from primer.data.readers.folders import Files, class_names, few, find
from primer.data.readers.survey import Shape, encoded, moments, survey
from primer.errors import InputError
from primer.records.console import say
from primer.spec import Classes, Image, Spec

MANY = 5000
"""From so many pictures on, a line says what takes the time."""
VERSION = 1
"""Of how pictures are decoded: notes that were taken under another one are not read."""

log = logging.getLogger(__name__)


class ImageFolder(DataModule):
    """PNG and JPEG files in one folder for each class; or in folders ``train``, ``val`` (``valid``, ``validation``) and
    ``test``, each with one for each class, where a part that is not there is held out from ``train`` as usual.

    Whatever its colours and its size, a picture becomes bytes of one shape, as ``data.readers.decoding`` says:
    scaled until it covers the shape, then cut to it about its middle, and on white where it is transparent. Hidden
    files and files of other kinds are passed over; folders within that of a class belong to the class.

    Every picture is decoded before training, so that a broken file comes up at once, and the mean and the deviation are
    those of the whole training part. Pictures that fit in memory then stay there. Those that do not are decoded anew in
    each epoch, by worker processes, while the model computes; which of them are whole, and their sums, is noted in
    ``data_dir``, and a later run looks at new and changed files alone. Either way the batches are the same.

    Args:
        path: the folder.
        size: height and width that pictures are brought to, in pixels; one number for both.
        channels: 3 for colour, 1 for grey.
        corrupt: ``error`` refuses files that cannot be decoded and class folders without pictures, ``skip`` leaves them
            out; both name them.
        workers: threads or processes that decode, 0 for none beside the one that trains; by default as many as there
            are cores, 8 at most.
        cache: whether decoded pictures stay in memory, in each process of a run; ``auto`` is yes where they take at
            most a third of what is free.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: for a setting out of its range; when the data are read, for a folder that is not there or is built
            in another way, and for what ``corrupt`` refuses.
    """

    inputs = Image
    targets = Classes

    def __init__(
        self,
        path: str | Path,
        size: int | tuple[int, int] = 64,
        channels: Literal[1, 3] = 3,
        corrupt: Literal["error", "skip"] = "error",
        workers: int | None = None,
        cache: bool | Literal["auto"] = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sides = [size, size] if isinstance(size, int) else list(size)
        if len(sides) != 2 or min(sides) < 1:
            raise InputError(f"size must be a number of pixels, or a list of height and width, not {size}")
        for name, value, valid in (
            ("channels", channels, (1, 3)),
            ("corrupt", corrupt, ("error", "skip")),
            ("cache", cache, ("auto", True, False)),
        ):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(map(str, valid))}, not {value!r}")
        if workers is not None and workers < 0:
            raise InputError(f"workers must be at least 0, not {workers}")
        self.path, self.corrupt, self.cache = Path(path).expanduser(), corrupt, cache
        self.shape: Shape = (channels, *sides)  # type: ignore[assignment]
        self.workers = min(8, cores()) if workers is None else workers

    def read(self) -> dict[Part, Records]:
        """Each record is the row of a picture among all that were found, and its class."""
        files, empty = find(self.path)
        if empty:
            self._refuse_or_skip("class folders without a picture (.png, .jpg, .jpeg)", empty)
        class_names(self.path, files)  # Before the work, for what is wrong with the folders as they stand.
        self._names = [name for some in files.values() for name, _ in some]
        if len(self._names) >= MANY:
            say(f"{self.path}: decoding {len(self._names):,} pictures")
        self._found = survey(
            self.path, self._names, self.shape, workers=max(1, self.workers), keep=self._keeps(), notes=self._notes()
        )
        if errors := self._found.errors:
            what = f"{len(errors)} of {len(self._names)} pictures cannot be read"
            self._refuse_or_skip(what, [errors[row] for row in sorted(errors)])
        row = {name: k for k, name in enumerate(self._names) if k not in errors}
        whole: Files = {part: [one for one in files[part] if one[0] in row] for part in files}
        self._classes = class_names(self.path, whole)
        place = {name: k for k, name in enumerate(self._classes)}
        return {part: [(row[name], place[label]) for name, label in whole[part]] for part in whole}

    def labels(self, records: Any) -> np.ndarray:
        return np.array([label for _, label in records], dtype=np.int64)

    def fit_spec(self, train: Any) -> Spec:
        channels, height, width = self.shape
        mean, std = moments(self._found.sums[rows_of(train)], height * width)
        return Spec(Image(channels, height, width, mean, std), Classes(self._classes))

    def encode(self, records: Any) -> Batch | Stream:
        rows, targets = rows_of(records), torch.from_numpy(self.labels(records))
        if self._found.pixels is not None:
            return Batch(torch.from_numpy(self._found.pixels[rows]), targets)
        return Pictures(self.path, [self._names[row] for row in rows], targets, self.shape, self.workers)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self._found.pixels = None  # Each part has its own by now.

    def _keeps(self) -> bool:
        if isinstance(self.cache, bool):
            return self.cache
        return len(self._names) * math.prod(self.shape) * 3 <= free_memory()

    def _notes(self) -> Path:
        key = repr((VERSION, os.path.abspath(self.path), self.shape)).encode(errors="surrogateescape")
        return self.data_dir / "image_folder" / f"{hashlib.sha256(key).hexdigest()[:16]}.npz"

    def _refuse_or_skip(self, what: str, named: list[Any]) -> None:
        if self.corrupt == "error":
            raise InputError(f"{what}: {few(named)}; data.corrupt=skip leaves them out")
        for one in named:
            log.warning("left out: %s", one)
        say(f"left out: {what}: {few(named)}")


class Pictures(Stream):
    """Pictures that are decoded when they are asked for.

    Args:
        root: the folder.
        names: of the files, from there.
        targets: ``(files,)`` classes.
        shape: channels, height and width.
        workers: the processes that a loader may use.
    """

    def __init__(self, root: Path, names: list[str], targets: Tensor, shape: Shape, workers: int) -> None:
        self.root, self.names, self.targets = root, encoded(names), targets
        self.shape, self.workers = shape, workers

    @property
    def size(self) -> int:
        return len(self.targets)

    def select(self, index: Tensor | slice) -> Batch:
        names = self.names[index if isinstance(index, slice) else index.numpy()]
        pixels = np.empty((len(names), *self.shape), np.uint8)
        for row, name in enumerate(names):
            pixels[row] = decode(self.root / os.fsdecode(name), *self.shape)
        return Batch(torch.from_numpy(pixels), self.targets[index])


def rows_of(records: list[tuple[int, int]]) -> np.ndarray:
    """The rows of records, without their classes."""
    return np.array([row for row, _ in records], dtype=np.int64)
