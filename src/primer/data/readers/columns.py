"""Converts the columns of a CSV file to numbers, and reports cells that are almost numbers."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from primer.data.readers.cells import CellFormat
from primer.errors import InputError

LARGEST = float(np.finfo(np.float32).max)
DISTINCT = 16
"""Minimum ratio of a column's standard deviation to the spacing of double-precision numbers of its magnitude."""
EXACT = 2.0**53
"""Integers beyond this are rounded in double precision."""
MAX_MARKERS = 3
"""If a column of numbers has more distinct texts than this, they are not suggested as markers of missing values."""
KEYS = 20
"""The minimum number of rows for which a column of distinct cells is taken for names of the rows."""
IDENTIFIER = re.compile(r"(?:^|[\W_])(?:id|ID|Id|key|index)$|[a-z]I[dD]$")
"""The end of the name of a column of identifiers, such as ``id``, ``row_id`` or ``PassengerId``."""
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*|[.-]+")
"""A string that overrides need no quotes for, unless it is one of ``KEYWORDS``."""
KEYWORDS = {"true", "false", "null", "nan", "inf"}
SIGN = re.compile(r"[$€£¥]?\s?(.*?)\s?[%$€£¥]?")
"""A cell with an optional percent or currency sign."""
FORMATS: tuple[dict[str, CellFormat], ...] = (
    {"data.decimal=.": CellFormat()},
    {"\"data.decimal=','\"": CellFormat(","), "\"data.thousands=','\"": CellFormat(thousands=",")},
    {"\"data.decimal=','\" data.thousands=.": CellFormat(",", ".")},
    {"\"data.thousands=' '\"": CellFormat(thousands=" ")},
    {"\"data.decimal=','\" \"data.thousands=' '\"": CellFormat(",", " ")},
    {'"data.thousands=\\"\'\\""': CellFormat(thousands="'")},
    {"data.thousands=_": CellFormat(thousands="_")},
)
"""Settings that read other formats of numbers, the most common ones first. Within a group, both may read a column."""


@dataclass(frozen=True)
class TextColumn:
    """The cells of a column, "" if missing, and their location."""

    file: Path
    name: str
    cells: list[str]
    lines: list[int]

    def location(self, k: int) -> str:
        """Returns the location of a cell, for messages."""
        return f"{self.file}, line {self.lines[k]}: {self.name!r}"


def to_numbers(
    column: TextColumn, format: CellFormat, text_setting: str = "", has_settings: bool = True
) -> np.ndarray | None:
    """Returns a column as numbers, NaN for missing values, or None if none of its cells resembles a number.

    Args:
        column: the cells.
        format: how numbers are written.
        text_setting: the setting by which a column counts as text, for messages; "" if the column must be numeric.
        has_settings: whether the data set has settings of the format, for messages.

    Raises:
        InputError: if some cells are numbers and others are not, if the cells are numbers in another format, or if they
            cannot be represented.
    """
    values = format.numbers(column.cells)
    texts = [k for k, value in enumerate(values) if value is None]
    present = [cell for cell in column.cells if cell]
    if not texts:
        return _check_precision(column, np.array(values, dtype=np.float64)) if present else None
    first, remedies = texts[0], []
    if not has_settings:
        remedies = ["correct it"]
    elif fitting := _find_settings(present):
        remedies = [f"set {' or '.join(fitting)} to read it"]
    elif all((match := SIGN.fullmatch(cell)) and format.number(match[1]) is not None for cell in present):
        remedies = ["remove the signs beside the numbers"]
    elif len(texts) < len(present) or not text_setting:
        remedies = ["correct it"]
        markers = list(dict.fromkeys(column.cells[k] for k in texts))
        if len(texts) == 1 and first == 0:
            remedies.append(f"set data.skip_rows=[{column.lines[0]}] to leave out the line")
        elif len(markers) <= MAX_MARKERS:
            remedies.append(f"set data.na_values={quote_list(markers)} if it means a missing value")
    if not remedies:
        return None
    if text_setting:
        remedies.append(f"set {text_setting} to keep the column as text")
    numbers = "" if len(texts) == len(present) else f", unlike {len(present) - len(texts)} of {len(present)} cells"
    raise InputError(
        f"{column.location(first)} is {column.cells[first]!r}, not a number{numbers}: {', or '.join(remedies)}"
    )


def quote_list(texts: list[str]) -> str:
    """Returns a list of strings in the syntax of overrides, quoted for the shell where necessary."""
    if all(PLAIN.fullmatch(text) and text.lower() not in KEYWORDS for text in texts):
        return f"[{','.join(texts)}]"
    return shlex.quote("[" + ",".join(json.dumps(text, ensure_ascii=False) for text in texts) + "]")


def identifies_rows(column: TextColumn, numbers: np.ndarray) -> bool:
    """Whether a column seems to number or name the rows: distinct integers that are consecutive, in any order, or that
    the name of the column calls an identifier."""
    if len(numbers) < KEYS or (numbers % 1 != 0).any() or len(np.unique(numbers)) < len(numbers):
        return False
    return bool(np.ptp(numbers) == len(numbers) - 1 or IDENTIFIER.search(column.name))


def _find_settings(cells: list[str]) -> list[str]:
    """Returns settings that read all cells as numbers."""
    for group in FORMATS:
        fitting = [name for name, format in group.items() if all(format.number(cell) is not None for cell in cells)]
        if fitting:
            return fitting
    return []


def _check_precision(column: TextColumn, numbers: np.ndarray) -> np.ndarray:
    """Rejects numbers that single precision cannot hold, or whose differences double precision cannot."""
    large = np.flatnonzero(np.abs(numbers) > LARGEST)
    if large.size:
        k = int(large[0])
        raise InputError(f"{column.location(k)} is {column.cells[k]!r}, too large for single precision")
    known = numbers[~np.isnan(numbers)]
    largest, spread = np.abs(known).max(), known.std()
    lost = 0 < spread < DISTINCT * np.spacing(largest)
    rounded = np.abs(numbers) >= EXACT
    texts = {column.cells[k] for k in np.flatnonzero(rounded)}
    if lost or len(np.unique(numbers[rounded])) < len(texts):
        raise InputError(
            f"{column.file}: {column.name!r} has values of {largest:.2g} that differ by less than double precision can "
            "represent: subtract a constant from it, or leave it out"
        )
    return numbers
