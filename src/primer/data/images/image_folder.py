"""Image classification on folders of images, one folder per class."""

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
from primer.data.readers.folders import Files, class_names, find_in_classes, summarize
from primer.data.readers.survey import Shape, channel_moments, encode_names, survey
from primer.errors import InputError
from primer.records.console import say
from primer.spec import Classes, Image, Spec

MANY = 5000
"""Minimum number of images for which a line reports that they are being decoded."""
VERSION = 1
"""Version of the decoder; statistics cached by another version are not used."""

log = logging.getLogger(__name__)


class ImageFolder(DataModule):
    """Images in one folder per class; or in folders ``train``, ``val`` (or ``valid``, ``validation``) and
    ``test`` with one folder per class each, where missing parts are held out from ``train`` as usual.

    Images of any color mode and size are converted to bytes of one shape (see ``data.readers.decoding``): resized to
    cover the shape, center-cropped, and composited onto white if transparent. Hidden files are ignored, files that are
    not images are counted in a note, and of animations the first image is read. Subfolders of a class folder belong to
    the class. A file counts once, even if links lead to it several times; links to folders that contain them are
    ignored, and a link to a file of another class or part is an error.

    All images are decoded before training, so that damaged files are found immediately and mean and standard deviation
    are those of the whole training part. Images that fit in memory stay there. Otherwise, worker processes decode them
    again in each epoch while the model computes; channel sums of intact files are cached in ``data_dir``, so that later
    runs check only new and changed files. Batches are the same in both cases.

    Args:
        path: the folder.
        size: height and width of the decoded images in pixels; a single number for both.
        channels: 3 for color, 1 for grayscale.
        corrupt: how to treat files that cannot be decoded and class folders without images: ``error`` raises an error,
            ``skip`` skips them; both list them.
        workers: number of threads or processes that decode images, 0 to decode in the training process; the number of
            CPU cores by default, at most 8.
        cache: whether each process of a run keeps decoded images in memory; ``auto`` does so if they take at most a
            third of the free memory.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if an argument is out of range; when the data is read, if the folder does not exist or has another
            layout, or for files rejected by ``corrupt``.
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
        """Returns records of the row of an image, among all images of the folder, and its class index."""
        files, empty, others = find_in_classes(self.path)
        if empty:
            self._reject_or_skip("class folders without images (.png, .jpg, .webp etc.)", empty)
        if others:
            suffixes = sorted({Path(name).suffix or "no suffix" for name in others})
            say(f"note: {len(others)} files of {self.path} are not images and left out ({summarize(suffixes)})")
        class_names(self.path, files)  # Check the classes before the expensive decoding.
        self._names = [name for images in files.values() for name, _ in images]
        if len(self._names) >= MANY:
            say(f"{self.path}: decoding {len(self._names):,} images")
        self._survey = survey(
            self.path,
            self._names,
            self.shape,
            workers=max(1, self.workers),
            keep=self._keeps_pixels(),
            cache=self._cache_file(),
        )
        if errors := self._survey.errors:
            problem = f"{len(errors)} of {len(self._names)} images cannot be read"
            self._reject_or_skip(problem, [errors[row] for row in sorted(errors)])
        name_to_row = {name: k for k, name in enumerate(self._names) if k not in errors}
        intact: Files = {part: [image for image in files[part] if image[0] in name_to_row] for part in files}
        self._classes = class_names(self.path, intact)
        class_to_index = {name: k for k, name in enumerate(self._classes)}
        return {part: [(name_to_row[name], class_to_index[label]) for name, label in intact[part]] for part in intact}

    def labels(self, records: Any) -> np.ndarray:
        return np.array([label for _, label in records], dtype=np.int64)

    def fit_spec(self, train: Any) -> Spec:
        channels, height, width = self.shape
        mean, std = channel_moments(self._survey.sums[record_rows(train)], height * width)
        return Spec(Image(channels, height, width, mean, std), Classes(self._classes))

    def encode(self, records: Any) -> Batch | Stream:
        rows, targets = record_rows(records), torch.from_numpy(self.labels(records))
        if self._survey.pixels is not None:
            return Batch(torch.from_numpy(self._survey.pixels[rows]), targets)
        return ImageStream(self.path, [self._names[row] for row in rows], targets, self.shape, self.workers)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self._survey.pixels = None  # Each part has its own copy now.

    def _keeps_pixels(self) -> bool:
        if isinstance(self.cache, bool):
            return self.cache
        return len(self._names) * math.prod(self.shape) * 3 <= free_memory()

    def _cache_file(self) -> Path:
        key = repr((VERSION, os.path.abspath(self.path), self.shape)).encode(errors="surrogateescape")
        return self.data_dir / "image_folder" / f"{hashlib.sha256(key).hexdigest()[:16]}.npz"

    def _reject_or_skip(self, problem: str, items: list[Any]) -> None:
        if self.corrupt == "error":
            raise InputError(f"{problem}: {summarize(items)}; set data.corrupt=skip to skip them")
        for item in items:
            log.warning("skipped: %s", item)
        say(f"skipped: {problem}: {summarize(items)}")


class ImageStream(Stream):
    """Images that are decoded on demand.

    Args:
        root: the folder.
        names: paths of the files, relative to ``root``.
        targets: ``(files,)`` classes.
        shape: channels, height and width.
        workers: number of worker processes of a loader.
    """

    def __init__(self, root: Path, names: list[str], targets: Tensor, shape: Shape, workers: int) -> None:
        self.root, self.names, self.targets = root, encode_names(names), targets
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


def record_rows(records: list[tuple[int, int]]) -> np.ndarray:
    """Returns the rows of records, without their classes."""
    return np.array([row for row, _ in records], dtype=np.int64)
