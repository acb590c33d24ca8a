"""Video classification on folders of videos, one folder per class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.data.loading.stream import cores, free_memory
from primer.data.readers.folders import class_names, summarize
from primer.data.readers.videos import find_videos, read_video
from primer.errors import InputError
from primer.records.console import say
from primer.spec import Classes, Spec, Video


class VideoFolder(DataModule):
    """Videos in one folder per class; or in folders ``train``, ``val`` and ``test`` with one folder per class each,
    where missing parts are held out from ``train``.

    A video is a folder of images, in order of the numbers in their names, an animated image, or a video file, for which
    PyAV is required. Of each, ``frames`` frames are read, spread evenly from the first to the last one. They are kept
    in memory as bytes.

    Args:
        path: the folder.
        frames: number of frames of a video.
        size: height and width of the frames in pixels; a single number for both.
        channels: 3 for color, 1 for grayscale.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if an argument is out of range; when the data is read, if the folder has another layout, a video
            cannot be decoded or has too few frames, or all of them do not fit in memory.
    """

    inputs = Video
    targets = Classes

    def __init__(
        self,
        path: str | Path,
        frames: int = 16,
        size: int | tuple[int, int] = 64,
        channels: Literal[1, 3] = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sides = [size, size] if isinstance(size, int) else list(size)
        if len(sides) != 2 or min(sides) < 1:
            raise InputError(f"size must be a number of pixels, or a list of height and width, not {size}")
        if frames < 1:
            raise InputError(f"frames must be at least 1, not {frames}")
        if channels not in (1, 3):
            raise InputError(f"channels must be one of 1, 3, not {channels}")
        self.path, self.shape = Path(path).expanduser(), (frames, channels, sides[0], sides[1])

    def read(self) -> dict[Part, Records]:
        files, _, others = find_videos(self.path)
        if others:
            say(f"note: {len(others)} files of {self.path} are not videos and left out ({summarize(others)})")
        self._classes = class_names(self.path, files, "videos")
        known = {name: k for k, name in enumerate(self._classes)}
        needed, free = sum(map(len, files.values())) * int(np.prod(self.shape)), free_memory()
        if 2 * needed > free:
            raise InputError(
                f"the videos of {self.path} take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free: lower "
                "data.frames or data.size"
            )
        parts: dict[Part, Records] = {}
        with ThreadPoolExecutor(min(8, cores())) as pool:
            for part, videos in files.items():
                pixels = np.empty((len(videos), *self.shape), np.uint8)
                decoded = pool.map(lambda video: read_video(self.path / video[0], *self.shape), videos)
                for row, video in zip(pixels, decoded, strict=True):
                    row[:] = video
                parts[part] = Batch(torch.from_numpy(pixels), torch.tensor([known[name] for _, name in videos]))
        return parts

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        mean, std = moments(train.inputs.flatten(0, 1))
        return Spec(Video(*self.shape, mean, std), Classes(self._classes))

    def encode(self, records: Any) -> Batch:
        return records
