"""The Free Spoken Digit Dataset."""

from __future__ import annotations

import zipfile
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from primer.data.audio.features import FULL
from primer.data.audio.reading import to_samples
from primer.data.audio.recordings import Recordings
from primer.data.audio.resampling import resample
from primer.data.audio.speakers import split_speakers
from primer.data.base import Part, Records
from primer.data.readers.lines import find_file
from primer.errors import InputError

RATE = 8000
FILE = "spoken_digits/fsdd.npz"
TEST_TAKES = 5
"""The first takes of each digit of each speaker are the official test part."""
FIELDS = {"samples": "i", "lengths": "iu", "digit": "iu", "speaker": "iu", "take": "iu", "speakers": "U"}
"""The arrays of the file, and the kinds of their values."""


class SpokenDigits(Recordings):
    """3,000 recordings of English digits by six speakers, at 8 kHz (Free Spoken Digit Dataset, Jackson et al. 2018).

    The file has the arrays ``samples`` (16-bit integers, all recordings one after the other), ``lengths``, ``digit``,
    ``speaker``, ``take``, and the names of the ``speakers``.

    Args:
        path: the file, looked up in ``data_dir``, then in the current folder.
        split: ``official`` tests on the takes 0 to 4 of each digit of each speaker; ``speaker`` on all recordings of
            the speaker ``fold``, and the validation part consists of all recordings of other speakers, the next ones.
        **kwargs: see ``Recordings``. With ``split="speaker"``, ``val_fraction`` is a fraction of the speakers.

    Raises:
        InputError: if the split is unknown; when the data is read, if the file is missing or damaged, or there is no
            speaker ``fold``.
    """

    def __init__(
        self, path: str | Path = FILE, split: Literal["official", "speaker"] = "official", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if split not in ("official", "speaker"):
            raise InputError(f"split must be one of official, speaker, not {split!r}")
        if split == "speaker" and self.folds is not None:
            raise InputError("split=speaker has a fold for each speaker: set data.fold alone, without data.folds")
        self.path, self.split_by = path, split

    def read(self) -> dict[Part, Records]:
        file = find_file(str(self.path), self.data_dir, "data.path names the recordings, an .npz file")
        arrays = read_arrays(file)
        self.names = tuple("0123456789")
        self.speakers: list[str] = arrays["speakers"].tolist()
        starts = np.concatenate([[0], arrays["lengths"].astype(np.int64).cumsum()])
        longest = self.waveform.longest
        for start, end in pairwise(starts):
            samples = torch.from_numpy(arrays["samples"][start:end].astype(np.int16))
            if self.waveform.sample_rate != RATE:
                samples = to_samples(resample(samples.double() / FULL, RATE, self.waveform.sample_rate))
            self.waveforms.append(samples[:longest].clone())
        rows = list(enumerate(arrays["digit"].tolist()))
        if self.split_by == "speaker":
            return split_speakers(rows, arrays["speaker"], self.speakers, self.fold, self.val_fraction)
        test = arrays["take"] < TEST_TAKES
        return {"train": [rows[k] for k in np.flatnonzero(~test)], "test": [rows[k] for k in np.flatnonzero(test)]}


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Reads the file of the recordings.

    Raises:
        InputError: if it is not complete, an array is missing, or its arrays do not fit each other.
    """
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array")
        with archive:
            arrays = {name: archive[name] for name in FIELDS if name in archive}
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is cut short, damaged or not an .npz file ({reason}): copy it again") from error
    for name, kinds in FIELDS.items():
        if name not in arrays:
            raise InputError(f"{file} has no array {name!r}; it must have {', '.join(FIELDS)}")
        if arrays[name].dtype.kind not in kinds or arrays[name].ndim != 1:
            raise InputError(f"{file}: {name!r} must be a list of {'names' if kinds == 'U' else 'integers'}")
    lengths, count = arrays["lengths"].astype(np.int64), len(arrays["lengths"])
    for name in ("digit", "speaker", "take"):
        if len(arrays[name]) != count:
            raise InputError(f"{file}: {name!r} has {len(arrays[name])} entries for {count} recordings")
    for name, limit in (("digit", 10), ("speaker", len(arrays["speakers"]))):
        values = arrays[name]
        for row in np.flatnonzero((values < 0) | (values >= limit))[:1]:
            raise InputError(f"{file}: recording {row} has the {name} {values[row]}, not one from 0 to {limit - 1}")
    if (lengths < 1).any():
        raise InputError(f"{file}: recording {np.flatnonzero(lengths < 1)[0]} has no samples")
    if lengths.sum() != len(arrays["samples"]):
        raise InputError(f"{file}: the lengths add up to {lengths.sum():,} samples, not {len(arrays['samples']):,}")
    return arrays
