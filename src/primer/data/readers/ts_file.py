"""Reads series from ``.ts`` files, the layout of the UCR and UEA archives (Bagnall et al. 2018).

A header of lines such as ``@classLabel true walking running`` ends with ``@data``. Each further line is a series: its
channels, separated by colons, and then its class. The values of a channel are separated by commas; ``?`` is a missing
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from primer.data.readers.cells import CellFormat, category_name
from primer.data.readers.columns import LARGEST
from primer.data.readers.lines import read_lines
from primer.errors import InputError, suggest

FORMAT = CellFormat()
MISSING = ("?", "nan")
BOOLEANS = {"true": True, "false": False}
SHOWN = 40
"""The maximum number of characters of a line that a message quotes."""


class LabeledSeries(NamedTuple):
    """A series and its class.

    Attributes:
        values: ``(time, channels)`` in double precision; NaN where a value is missing.
        label: the class; "" if the file does not have classes.
        location: the file and the line, for messages.
    """

    values: np.ndarray
    label: str
    location: str


class TSLine(NamedTuple):
    """A line after ``@data``: its number, and the series or what is wrong with it."""

    number: int
    series: LabeledSeries | None
    error: str | None


@dataclass
class Header:
    """What the header of a file says.

    Attributes:
        classes: the classes by their names in the file; None if it has no classes.
        channels: the number of channels; None if it does not say.
        length: the number of steps of each series; None if it does not say.
        varies: whether series have different lengths, so that ``length`` does not matter.
    """

    classes: dict[str, str] | None = None
    channels: int | None = None
    length: int | None = None
    varies: bool = False


def read_ts(path: Path) -> list[LabeledSeries]:
    """Returns the series of a file with classes.

    Raises:
        InputError: if the file is malformed, with the line, or has no classes.
    """
    rows = []
    for line in iterate_ts(path):
        if line.series is None:
            raise InputError(f"{path}, line {line.number}: {line.error}")
        rows.append(line.series)
    return rows


def iterate_ts(path: Path, labeled: bool = True) -> Iterator[TSLine]:
    """Yields the lines after the header.

    Args:
        path: the file.
        labeled: whether each series must have one of the classes of the header.

    Raises:
        InputError: if the header is malformed, with the line, or has no classes although ``labeled``; or if no series
            follow.
    """
    lines = iter(enumerate(read_lines(path), start=1))
    header = read_header(path, lines)
    if labeled and header.classes is None:
        raise InputError(f"{path}: the header has no classes; expected a line such as @classLabel true a b")
    found = False
    for number, line in lines:
        text = line.strip()
        if not text or text.startswith(("#", "%")):
            continue
        try:
            values, label = parse_series(text, header, labeled)
        except InputError as error:
            yield TSLine(number, None, str(error))
        else:
            header.channels = header.channels or values.shape[1]
            yield TSLine(number, LabeledSeries(values, label, f"{path}, line {number}"), None)
        found = True
    if not found:
        raise InputError(f"{path}: there are no series after @data")


def read_header(path: Path, lines: Iterator[tuple[int, str]]) -> Header:
    """Reads the lines up to ``@data``.

    Raises:
        InputError: if a line is not one of a header, there is no ``@data``, or the layout is not supported.
    """
    header = Header()
    number = 1
    for number, line in lines:
        text = line.strip()
        if not text or text.startswith(("#", "%")):
            continue
        if not text.startswith("@"):
            raise InputError(
                f"{path}, line {number}: expected a line of the header, such as @classLabel true a b or @data, not "
                f"{text[:SHOWN]!r}"
            )
        key, *values = text[1:].split() or [""]
        if key.lower() == "data":
            return header
        try:
            apply_entry(header, key, values)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    raise InputError(
        f"{path}, line {number}: the file ends without a line @data, so it is not a .ts file, or is cut off"
    )


def apply_entry(header: Header, key: str, values: list[str]) -> None:
    """Applies a line of the header. Entries that do not matter for reading, such as ``@problemName``, are ignored."""
    name, flag = key.lower(), BOOLEANS.get(values[0].lower()) if values else None
    if name in ("timestamps", "univariate", "equallength", "classlabel", "targetlabel", "missing") and flag is None:
        raise InputError(f"@{key} must be true or false, not {' '.join(values)[:SHOWN]!r}")
    if name == "timestamps" and flag:
        raise InputError(f"@{key} true: values with time stamps are not supported; write equally spaced values alone")
    if name == "targetlabel" and flag:
        raise InputError(f"@{key} true: the targets are numbers, but this data set needs classes")
    if name == "classlabel" and flag:
        if not values[1:]:
            raise InputError(f"@{key} true must be followed by the classes")
        header.classes = {label: category_name(label) for label in values[1:]}
    if name == "univariate" and flag:
        header.channels = 1
    if name == "equallength":
        header.varies = not flag
    if name in ("dimension", "dimensions", "serieslength"):
        if not (values and values[0].isascii() and values[0].isdecimal()):
            raise InputError(f"@{key} must be a whole number, not {' '.join(values)[:SHOWN]!r}")
        if name == "serieslength":
            header.length = int(values[0])
        else:
            header.channels = int(values[0])


def parse_series(text: str, header: Header, labeled: bool = True) -> tuple[np.ndarray, str]:
    """Returns the values of a series, ``(time, channels)``, and its class.

    Raises:
        InputError: if the line does not fit the header, or a value is not a number.
    """
    parts, label = [part.strip() for part in text.split(":")], ""
    expected = header.channels
    if header.classes is not None:
        given = parts.pop()
        if given not in header.classes and (labeled or "," in given):
            cut = "the line is cut off, or " if "," in given or not given or not parts else ""
            raise InputError(
                f"{cut}the class {given[:SHOWN]!r} is not one of @classLabel; {suggest(given[:SHOWN], header.classes)}"
            )
        label = header.classes.get(given, category_name(given))
    if not parts or (expected and len(parts) != expected):
        raise InputError(f"{len(parts)} channels, but {expected or 'at least 1'} expected")
    channels = [parse_channel(part, k) for k, part in enumerate(parts, start=1)]
    for k, channel in enumerate(channels, start=1):
        if len(channel) != len(channels[0]):
            raise InputError(f"channel {k} has {len(channel)} values, but channel 1 has {len(channels[0])}")
    if header.length and not header.varies and len(channels[0]) != header.length:
        raise InputError(f"{len(channels[0])} values per channel, but @seriesLength is {header.length}")
    return np.stack(channels, 1), label


def parse_channel(text: str, number: int) -> np.ndarray:
    """Returns the values of a channel; NaN where one is missing."""
    cells = [cell.strip() for cell in text.split(",")]
    if "" in cells:
        raise InputError(f"channel {number}, value {cells.index('') + 1} is empty: write ? for a missing value")
    values = FORMAT.numbers(["" if cell.lower() in MISSING else cell for cell in cells])
    for k, value in enumerate(values):
        if value is None or abs(value) > LARGEST:
            problem = "not a number" if value is None else "too large for single precision"
            raise InputError(f"channel {number}, value {k + 1} is {cells[k][:SHOWN]!r}, {problem}")
    return np.array(values, dtype=np.float64)
