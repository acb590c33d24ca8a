"""Recordings for tests: folders of WAV files, and a small file of spoken digits."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

SPEAKERS = ("ann", "bob", "cid", "dan")


def write_wav(path: Path, samples: np.ndarray, rate: int = 8000) -> None:
    """Writes 16-bit integers, or floats from -1 to 1, ``(samples,)`` or ``(samples, channels)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        whole = samples if samples.dtype == np.int16 else (samples * 32767).astype("<i2")
        file.writeframes(whole.tobytes())


def write_folder(root: Path, count: int = 12, rate: int = 8000) -> Path:
    """Writes ``count`` recordings of each of two classes, tones of high and of low pitch, by four speakers."""
    random = np.random.default_rng(0)
    for name, pitch in (("high", 2000), ("low", 500)):
        for k in range(count):
            time = np.arange(round(random.uniform(0.1, 0.3) * rate)) / rate
            sound = 0.3 * np.sin(2 * np.pi * pitch * random.uniform(0.9, 1.1) * time)
            write_wav(root / name / f"{SPEAKERS[k % 4]}_{k}.wav", sound, rate)
    return root


def spoken_digits(takes: int = 7) -> dict[str, np.ndarray]:
    """Returns the arrays of a file of spoken digits: noise, by four speakers, with ``takes`` takes of each digit."""
    random = np.random.default_rng(0)
    speaker, digit, take = (index.flatten() for index in np.mgrid[0:4, 0:10, 0:takes])
    lengths = random.integers(800, 2000, len(digit))
    samples = random.integers(-9000, 9000, lengths.sum()).astype(np.int16)
    small = {"digit": digit, "speaker": speaker, "take": take}
    return {
        "samples": samples,
        "lengths": lengths.astype(np.int32),
        **{name: values.astype(np.int8) for name, values in small.items()},
        "speakers": np.array(SPEAKERS),
    }


def write_spoken_digits(data_dir: Path, **changes: np.ndarray | None) -> Path:
    """Writes a file of spoken digits, with other arrays if ``changes`` names them; None leaves one out."""
    arrays = {name: array for name, array in (spoken_digits() | changes).items() if array is not None}
    file = data_dir / "spoken_digits" / "fsdd.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file
