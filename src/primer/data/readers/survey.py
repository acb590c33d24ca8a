"""One look at every picture of a folder before training: which are whole, their mean, and their pixels if they fit."""

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
"""Files that a thread looks at in one go."""

LEVELS = np.arange(256)

Shape = tuple[int, int, int]
"""Channels, height and width."""


@dataclass
class Survey:
    """What was found.

    Attributes:
        sums: ``(files, 2, channels)``: the sum of the bytes of each channel, and that of their squares.
        errors: what is wrong with a file, by its row.
        pixels: ``(files, channels, height, width)`` bytes, where they were to be kept.
    """

    sums: np.ndarray
    errors: dict[int, str]
    pixels: np.ndarray | None


def survey(
    root: Path, names: list[str], shape: Shape, *, workers: int, keep: bool = False, notes: Path | None = None
) -> Survey:
    """Decodes all files, in threads: most of the work is done outside of Python.

    Args:
        root: where the files lie.
        names: of the files, from there.
        shape: that they are decoded to.
        workers: the number of threads.
        keep: whether to keep the pixels.
        notes: a file for what is found, so that the next survey need not decode the files that have not changed.
    """
    found = Survey(np.zeros((len(names), 2, shape[0]), np.int64), {}, None)
    left, stamps = np.arange(len(names)), None
    if keep:
        found.pixels = np.empty((len(names), *shape), np.uint8)
    elif notes is not None:
        stamps = stamps_of(root, names)
        left = recall(notes, names, stamps, found.sums)

    def look(rows: np.ndarray) -> None:
        for row in rows.tolist():
            try:
                picture = decode(root / names[row], *shape)
            except InputError as error:
                found.errors[row] = str(error)
                continue
            if found.pixels is not None:
                found.pixels[row] = picture
            counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in picture])
            found.sums[row] = counts @ LEVELS, counts @ LEVELS**2

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(look, np.split(left, range(BLOCK, len(left), BLOCK))):
            pass
    if notes is not None and stamps is not None and len(left) > len(found.errors):
        with suppress(OSError):  # Without notes the next survey takes longer, and that is all.
            note(notes, names, stamps, found)
    return found


def stamps_of(root: Path, names: list[str]) -> np.ndarray:
    """``(files, 2)``: size and time of change of each file, -1 where there is none."""
    stamps = np.full((len(names), 2), -1, np.int64)
    for row, name in enumerate(names):
        with suppress(OSError):
            status = (root / name).stat()
            stamps[row] = status.st_size, status.st_mtime_ns
    return stamps


def recall(notes: Path, names: list[str], stamps: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """The rows of files that are new or have changed since ``notes`` were written. Of the others, the sums are put
    into ``sums``."""
    everything = np.arange(len(names))
    try:
        with np.load(notes, allow_pickle=False) as known:
            known_names, known_stamps, known_sums = known["names"], known["stamps"], known["sums"]
        asked = encoded(names)
        places = np.searchsorted(known_names, asked).clip(max=len(known_names) - 1)
        same = (known_names[places] == asked) & (known_stamps[places] == stamps).all(1)
        sums[same] = known_sums[places[same]]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return everything  # There are none yet, or they are damaged.
    return everything[~same]


def note(notes: Path, names: list[str], stamps: np.ndarray, found: Survey) -> None:
    """Writes down what was found of the files that are whole, in the order of the alphabet."""
    whole = np.setdiff1d(np.arange(len(names)), np.fromiter(found.errors, np.int64))
    known = encoded(names)
    rows = whole[np.argsort(known[whole])]
    notes.parent.mkdir(parents=True, exist_ok=True)
    temporary = notes.with_name(f".{notes.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.savez(file, names=known[rows], stamps=stamps[rows], sums=found.sums[rows])
    temporary.replace(notes)


def moments(sums: np.ndarray, values: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of each channel, in parts of 255, from the sums of files that each hold ``values``
    bytes a channel. They come from whole numbers alone, and so do not depend on the order of the files."""
    means, deviations = [], []
    for total, squares in sums.sum(0).T.tolist():
        count = len(sums) * values
        means.append(total / count / 255)
        deviations.append((count * squares - total * total) ** 0.5 / count / 255 or 1.0)
    return tuple(means), tuple(deviations)


def encoded(names: list[str]) -> np.ndarray:
    """Names as an array of bytes, which takes less memory than texts and holds any name that a file may have."""
    return np.array([os.fsencode(name) for name in names])
