"""Encodes recordings: WAV files and arrays of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.data.audio.features import FULL, Features
from primer.data.audio.reading import load_wav, to_samples
from primer.data.audio.recordings import pad
from primer.data.readers.folders import list_files
from primer.data.readers.wav import LOUDEST, OTHER_SUFFIXES, SUFFIXES
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.spec import Image, Series, Waveform


def encode_recordings(kind: Image | Series, inputs: Any) -> Encoded:
    """Encodes recordings.

    Args:
        kind: the features that the model expects.
        inputs: a WAV file, a folder of WAV files, an array of samples at the sample rate of the model, ``(samples,)``
            or ``(recordings, samples)``, or a list of files and arrays ``(samples,)``. Floats are from -1 to 1;
            integers have the range of their type. Files have any sample rate.

    Raises:
        InputError: if the inputs are neither.
    """
    waveform = kind.recording
    assert waveform is not None
    items = as_recordings(inputs)
    waveforms, errors = [], {}
    for k, item in enumerate(items):
        try:
            samples = load_wav(item, waveform) if isinstance(item, str | Path) else convert_array(item, waveform)
            waveforms.append(samples)
        except InputError as error:
            errors[k] = str(error)
    width = (kind.native[2] if kind.native else kind.width) if isinstance(kind, Image) else None
    return Encoded(pad(waveforms), len(items), errors, unpack=Features(waveform, width))


def as_recordings(inputs: Any) -> list[Any]:
    """Returns a list of files and arrays."""
    if isinstance(inputs, str | Path):
        return list_recordings(Path(inputs))
    if isinstance(inputs, list | tuple) and not all(isinstance(one, int | float) for one in inputs):
        return list(inputs)
    array = inputs if isinstance(inputs, Tensor) else np.asarray(inputs)
    if array.ndim not in (1, 2):
        raise InputError(
            f"recordings must have the shape (samples,) or (recordings, samples), not {tuple(array.shape)}"
        )
    return [array] if array.ndim == 1 else list(array)


def list_recordings(path: Path) -> list[Path]:
    """Returns the recordings in a folder and its subfolders; a file itself. Those of other formats than WAV are listed,
    too, so that they are reported."""
    return (
        [path / name for name in list_files(path, path, (*SUFFIXES, *OTHER_SUFFIXES))[0]] if path.is_dir() else [path]
    )


def convert_array(values: Any, kind: Waveform) -> Tensor:
    """Converts the samples of a recording to 16-bit integers."""
    try:
        samples = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise InputError("a recording must be an array of numbers or a WAV file") from None
    if samples.ndim != 1 or not len(samples):
        raise InputError(f"a recording must have the shape (samples,), not {tuple(samples.shape)}")
    samples = samples[: kind.longest]
    if samples.dtype == torch.int16:
        return samples
    if samples.is_floating_point():
        if not samples.isfinite().all():
            raise InputError("the recording has missing or infinite samples")
        if samples.abs().max() > LOUDEST:
            raise InputError(f"samples that are floats must be from -1 to 1, not {samples.abs().max().item():g}")
        return to_samples(samples.double())
    if samples.dtype not in (torch.uint8, torch.int32):
        raise InputError(f"samples must be floats, or integers of 8, 16 or 32 bits, not {samples.dtype}")
    offset, scale = (128, 128) if samples.dtype == torch.uint8 else (0, FULL * 65536)
    return to_samples((samples.double() - offset) / scale)
