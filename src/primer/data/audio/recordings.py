"""Base class of data sets of recordings."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.audio.features import Features, frame_mask, input_of
from primer.data.base import DataModule, Part, Records
from primer.data.loading.stream import free_memory
from primer.errors import InputError
from primer.regularization.augmentation import ColorJitter, Flip, Rotate, Shift
from primer.spec import Classes, Image, Series, Spec, Waveform

PICTURES = (ColorJitter, Flip, Rotate, Shift)
"""Augmentations of pictures that make no sense for spectrograms, whose rows and columns are frequencies and times."""
CHUNK = 256
"""The number of recordings whose features are computed at once."""


class Recordings(DataModule):
    """Recordings of sound with a class each, kept in memory as 16-bit samples.

    Features are computed from each batch, on its device (see ``data.audio.features``), and standardized with their mean
    and standard deviation over the training part. A model that accepts series reads them as such, ``(time, features)``,
    and other models as images, ``(1, features, frames)``, cropped or padded to ``frames`` columns.

    Args:
        view: ``series``, ``image``, or ``auto`` for what the model accepts.
        features: ``log_mel``, or ``mfcc`` for mel-frequency cepstral coefficients.
        sample_rate: the sample rate in Hz. Recordings with another rate are resampled.
        window_ms, hop_ms: the length of a window, and the time from one to the next, in milliseconds.
        mels: the number of mel bands.
        coefficients: the number of coefficients of ``mfcc``.
        top_db: makes energies relative to the loudest one of the recording, and cuts them off that many decibels below
            it, which removes loudness and background noise; None for neither.
        centered: whether to subtract the mean of each feature over the recording (cepstral mean normalization), which
            removes the coloring of the microphone.
        frames: the width of images, in windows.
        max_seconds: only the start of longer recordings is used.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a number is not positive, a name is unknown, the hop is longer than the window, or there are more
            coefficients than mel bands; or for an augmentation that does not fit recordings.
    """

    inputs = Series | Image | Waveform
    targets = Classes

    def __init__(
        self,
        view: Literal["auto", "series", "image"] = "auto",
        features: Literal["log_mel", "mfcc"] = "log_mel",
        sample_rate: int = 8000,
        window_ms: float = 32.0,
        hop_ms: float = 16.0,
        mels: int = 32,
        coefficients: int = 13,
        top_db: float | None = None,
        centered: bool = False,
        frames: int = 64,
        max_seconds: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, valid in (
            ("view", view, ("auto", "series", "image")),
            ("features", features, ("log_mel", "mfcc")),
        ):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(valid)}, not {value!r}")
        sizes = {"sample_rate": sample_rate, "mels": mels, "coefficients": coefficients, "frames": frames}
        times = {"window_ms": window_ms, "hop_ms": hop_ms, "max_seconds": max_seconds}
        times |= {} if top_db is None else {"top_db": top_db}
        for name, value in (sizes | times).items():
            if not 0 < value < math.inf:
                raise InputError(f"{name} must be greater than 0, not {value}")
        for step in self.augmentation:
            if isinstance(step, PICTURES):
                raise InputError(
                    f"the augmentation {type(step).__name__} is for pictures, not for the spectrograms of recordings: "
                    "regularization/augmentation=speed, time_shift, background_noise, spec_augment, mixup or cutout"
                )
        window, hop = (round(sample_rate * ms / 1000) for ms in (window_ms, hop_ms))
        if not 1 <= hop <= window:
            raise InputError(f"hop_ms={hop_ms} must be at least one sample, and at most window_ms={window_ms}")
        if features == "mfcc" and coefficients > mels:
            raise InputError(f"coefficients={coefficients} must be at most mels={mels}")
        self.view, self.frames = view, frames
        longest = max(1, round(max_seconds * sample_rate))
        self.waveform = Waveform(
            sample_rate, window, hop, mels, longest, features, coefficients, centered, top_db or 0.0
        )
        self.waveforms: list[Tensor] = []
        self.names: tuple[str, ...] = ()

    @abstractmethod
    def read(self) -> dict[Part, Records]:
        """Fills ``names``, the classes, and ``waveforms``, the 16-bit samples of each recording. Returns a list of rows
        of ``waveforms`` with their classes for each part."""

    def labels(self, records: Any) -> np.ndarray:
        return np.array([label for _, label in records], dtype=np.int64)

    def fit_spec(self, train: Any) -> Spec:
        mean, std = feature_moments([self.waveforms[row] for row, _ in train], self.waveform)
        self.waveform = replace(self.waveform, mean=mean, std=std)
        return Spec(input_of(self.waveform, self.frames if self.view == "image" else None), Classes(self.names))

    def encode(self, records: Any) -> Batch:
        waveforms = [self.waveforms[row] for row, _ in records]
        seconds = max(map(len, waveforms), default=0) / self.waveform.sample_rate
        needed, free = 2 * len(waveforms) * max(map(len, waveforms), default=0), free_memory()
        if needed > free:
            raise InputError(
                f"{len(waveforms):,} recordings of up to {seconds:.3g} seconds take {needed / 2**30:.1f} GiB, and "
                f"{free / 2**30:.1f} GiB are free: lower data.max_seconds"
            )
        return pad(waveforms, torch.from_numpy(self.labels(records)))

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.waveforms = []  # Each part has its own copy now.

    def batch_transform(self) -> Callable[[Batch], Batch]:
        return Features(self.waveform, self.frames if isinstance(self._native or self.spec.input, Image) else None)

    def choose_input(self, accepted: Any) -> None:
        kinds = (Series, Image) if self.view == "auto" else (Image,) if self.view == "image" else (Series,)
        kind = next((kind for kind in kinds if issubclass(kind, accepted)), None)
        if kind is None and accepted and self.view != "auto":
            raise InputError(f"data.view={self.view} is nothing that this model reads: set data.view=auto")
        if self._native is None and kind is not None:
            self._spec = Spec(input_of(self.waveform, self.frames if kind is Image else None), self.spec.target)


def pad(waveforms: list[Tensor], targets: Tensor | None = None) -> Batch:
    """Returns recordings in one batch, ``(recordings, samples)``, with their lengths."""
    lengths = torch.tensor([len(one) for one in waveforms], dtype=torch.long)
    samples = torch.zeros(len(waveforms), int(lengths.max()) if waveforms else 0, dtype=torch.int16)
    for row, one in zip(samples, waveforms, strict=True):
        row[: len(one)] = one
    return Batch(samples, targets, lengths)


def feature_moments(waveforms: list[Tensor], kind: Waveform) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the standard deviation of each feature over all windows of recordings, in double
    precision."""
    features, count = Features(kind), 0
    total = torch.zeros(2, kind.size, dtype=torch.float64)
    ordered = sorted(waveforms, key=len)
    shift: Tensor | None = None
    for start in range(0, len(ordered), CHUNK):
        batch = pad(ordered[start : start + CHUNK])
        assert batch.lengths is not None
        values, lengths = features.compute(batch.inputs, batch.lengths)
        rows = values[frame_mask(values, lengths)[..., 0]].double()
        shift = rows.mean(0) if shift is None else shift
        total += torch.stack([(rows - shift).sum(0), (rows - shift).square().sum(0)])
        count += len(rows)
    assert shift is not None
    first, second = total / count
    std = (second - first.square()).clamp(min=0).sqrt()
    return tuple((shift + first).tolist()), tuple(torch.where(std > 1e-6, std, 1.0).tolist())
