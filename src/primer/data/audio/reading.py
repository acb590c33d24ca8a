"""Converts recordings to the sample rate and the precision of a data set."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from primer.data.audio.features import FULL
from primer.data.audio.resampling import resample
from primer.data.readers.wav import read_wav
from primer.spec import Waveform


def load_wav(path: str | Path, kind: Waveform) -> Tensor:
    """Reads a WAV file as 16-bit samples at the sample rate of a data set.

    Raises:
        InputError: if the file cannot be read; see ``read_wav``.
    """
    samples, rate = read_wav(path, kind.longest / kind.sample_rate)
    return to_samples(resample(samples, rate, kind.sample_rate))[: kind.longest].clone()


def to_samples(values: Tensor) -> Tensor:
    """Converts samples from -1 to 1 to 16-bit integers, and clips louder ones."""
    return (values * FULL).round().clamp(-FULL, FULL - 1).to(torch.int16)
