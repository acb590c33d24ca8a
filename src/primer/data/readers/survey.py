"""Decodes all images of a folder once before training, to find damaged files and to compute channel statistics."""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from primer.data.readers.decoding import decode
from primer.errors import InputError

BLOCK = 64
"""Files that a thread decodes at once."""

LEVELS = np.arange(256)

Shape = tuple[int, int, int]
"""Channels, height and width."""


@dataclass
class Survey:
    """Results of decoding all files.

    Attributes:
        sums: ``(files, 2, channels)``, the sum of the bytes of each channel, and the sum of their squares.
        errors: error messages of damaged files, by row.
        pixels: ``(files, channels, height, width)`` bytes; None if not kept.
    """

    sums: np.ndarray
    errors: dict[int, str]
    pixels: np.ndarray | None


def survey(
    root: Path, names: list[str], shape: Shape, *, workers: int, keep: bool = False, cache: Path | None = None
) -> Survey:
    """Decodes all files, in threads: most of the work is done outside of Python.

    Args:
        root: folder of the files.
        names: paths of the files, relative to ``root``.
        shape: shape of the decoded images.
        workers: number of threads.
        keep: whether to keep the pixels.
        cache: file in which to store the sums, so that the next survey does not need to decode unchanged files.
    """
    result = Survey(np.zeros((len(names), 2, shape[0]), np.int64), {}, None)
    remaining, stamps = np.arange(len(names)), None
    if keep:
        result.pixels = np.empty((len(names), *shape), np.uint8)
    elif cache is not None:
        stamps = file_stamps(root, names)
        remaining = load_cache(cache, names, stamps, result.sums)

    def decode_rows(rows: np.ndarray) -> None:
        for row in rows.tolist():
            try:
                pixels = decode(root / names[row], *shape)
            except InputError as error:
                result.errors[row] = str(error)
                continue
            if result.pixels is not None:
                result.pixels[row] = pixels
            counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in pixels])
            result.sums[row] = counts @ LEVELS, counts @ LEVELS**2

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(decode_rows, np.split(remaining, range(BLOCK, len(remaining), BLOCK))):
            pass
    if cache is not None and stamps is not None and len(remaining) > len(result.errors):
        with suppress(OSError):  # Without the cache, the next survey only takes longer.
            save_cache(cache, names, stamps, result)
    return result


def file_stamps(root: Path, names: list[str]) -> np.ndarray:
    """Returns the size and modification time of each file, ``(files, 2)``; -1 for files that do not exist."""
    stamps = np.full((len(names), 2), -1, np.int64)
    for row, name in enumerate(names):
        with suppress(OSError):
            status = (root / name).stat()
            stamps[row] = status.st_size, status.st_mtime_ns
    return stamps


def load_cache(cache: Path, names: list[str], stamps: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Returns the rows of files that are new or have changed since ``cache`` was written, and copies the cached sums of
    the other files to ``sums``."""
    rows = np.arange(len(names))
    try:
        with np.load(cache, allow_pickle=False) as cached:
            cached_names, cached_stamps, cached_sums = cached["names"], cached["stamps"], cached["sums"]
        encoded = encode_names(names)
        positions = np.searchsorted(cached_names, encoded).clip(max=len(cached_names) - 1)
        unchanged = (cached_names[positions] == encoded) & (cached_stamps[positions] == stamps).all(1)
        sums[unchanged] = cached_sums[positions[unchanged]]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return rows  # The cache does not exist yet, or is damaged.
    return rows[~unchanged]


def save_cache(cache: Path, names: list[str], stamps: np.ndarray, result: Survey) -> None:
    """Writes the sums of all intact files, sorted by name."""
    intact = np.setdiff1d(np.arange(len(names)), np.fromiter(result.errors, np.int64))
    encoded = encode_names(names)
    rows = intact[np.argsort(encoded[intact])]
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.savez(file, names=encoded[rows], stamps=stamps[rows], sums=result.sums[rows])
    temporary.replace(cache)


def channel_moments(sums: np.ndarray, values: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the standard deviation of each channel, scaled to [0, 1], given the sums of files with
    ``values`` bytes per channel. Computed from integers, so they do not depend on the order of the files."""
    means, stds = [], []
    for total, squares in sums.sum(0).T.tolist():
        count = len(sums) * values
        means.append(total / count / 255)
        stds.append((count * squares - total * total) ** 0.5 / count / 255 or 1.0)
    return tuple(means), tuple(stds)


def encode_names(names: list[str]) -> np.ndarray:
    """Returns file names as an array of bytes, which is smaller than strings and can represent any file name."""
    return np.array([os.fsencode(name) for name in names])
