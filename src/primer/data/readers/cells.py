"""Parses the cells of tables: numbers as people write them, and markers of missing values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property

from primer.errors import InputError

MISSING = {"", "?", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null"} | {
    "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"
}  # fmt: skip
"""Markers of a missing value, in lower case; matched case-insensitively."""
MISSING_EXACTLY = {"None"}
"""Markers whose case matters: ``none`` is a common category."""

SPACES = " \u00a0\u202f\u2009"
"""Spaces that separate thousands: a plain one, no-break ones and a thin one."""
SEPARATORS = (",", ".", "'", "_", " ")


class CellFormat:
    """How the cells of a table are read.

    Args:
        decimal: the decimal mark, ``.`` or ``,``.
        thousands: the character between groups of three digits: ``,``, ``.``, ``'``, ``_`` or a space; None if there is
            none. A separator elsewhere makes the cell a text.
        na_values: further markers of missing values. A number stands for all spellings of it.
        keep_default_na: whether the markers of pandas are missing values too: ``NA``, ``N/A``, ``NaN``, ``null``,
            ``None``, ``#N/A`` and the like; and ``?``. An empty cell is always missing.

    Raises:
        InputError: if ``decimal`` or ``thousands`` is another character, or both are the same.
    """

    def __init__(
        self,
        decimal: str = ".",
        thousands: str | None = None,
        na_values: str | float | Sequence[str | float] = (),
        keep_default_na: bool = True,
    ) -> None:
        if decimal not in (".", ","):
            raise InputError(f"decimal must be a point or a comma, not {decimal!r}")
        if thousands is not None and (thousands not in SEPARATORS or thousands == decimal):
            valid = ", ".join(repr(mark) for mark in SEPARATORS if mark != decimal)
            raise InputError(f"thousands must be one of {valid} with decimal={decimal!r}, not {thousands!r}")
        self.decimal, self.thousands, self.keep_default_na = decimal, thousands, keep_default_na
        markers = [na_values] if isinstance(na_values, str | float | int) else na_values
        self.na_values = {str(marker).strip() for marker in markers}

    def is_missing(self, cell: str) -> bool:
        """Whether a stripped cell stands for a missing value."""
        if not cell or cell in self.na_values:
            return True
        if cell[0] not in self._first_characters and not self._missing_numbers:
            return False  # Most cells end here, which makes reading four times as fast.
        if self.keep_default_na and (cell in MISSING_EXACTLY or cell.lower() in MISSING):
            return True
        return bool(self._missing_numbers) and self.number(cell) in self._missing_numbers

    def number(self, cell: str) -> float | None:
        """Returns the value of a stripped cell, or None if it is not a number."""
        if not cell.isascii():
            cell = cell.replace("\u2212", "-")  # The minus sign of typeset tables.
        if self._groups and (match := self._groups.match(cell)):
            cell = re.sub(rf"[{re.escape(self._marks)}]", "", match[0]) + cell[match.end() :]
        if self.decimal == "," and ("," in cell or "." in cell):
            if "." in cell:
                return None
            cell = cell.replace(",", ".", 1)
        if "_" in cell:  # Python's spelling of thousands.
            return None
        try:
            value = float(cell)
        except ValueError:
            return None
        return None if math.isnan(value) else value

    def numbers(self, cells: list[str]) -> list[float | None]:
        """Returns the values of stripped cells: NaN if empty, None if not a number."""
        if self.decimal == "." and self.thousands is None and "_" not in "".join(cells):
            with suppress(ValueError):  # Twice as fast as a cell at a time.
                values = [float(cell) if cell else math.nan for cell in cells]
                if sum(map(math.isnan, values)) == cells.count(""):
                    return list(values)
        return [self.number(cell) if cell else math.nan for cell in cells]

    @cached_property
    def _first_characters(self) -> set[str]:
        markers = MISSING | MISSING_EXACTLY if self.keep_default_na else set()
        return {character for marker in markers for character in (marker[:1].lower(), marker[:1].upper())}

    @cached_property
    def _missing_numbers(self) -> set[float]:
        return {value for marker in self.na_values if (value := self.number(marker)) is not None}

    @cached_property
    def _marks(self) -> str:
        return SPACES if self.thousands == " " else self.thousands or ""

    @cached_property
    def _groups(self) -> re.Pattern[str] | None:
        """Matches digits in groups of three; in India, groups of two precede the last one."""
        mark = f"[{re.escape(self._marks)}]"
        return re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?!\d)") if self._marks else None


def category_names(cells: Iterable[str]) -> dict[str, str]:
    """Returns the name of the category of each distinct cell, in numerical order if all cells are numbers, otherwise in
    alphabetical order.

    A whole number with zeros after the decimal mark is the same category as without them: ``1.0`` is ``1``. Other cells
    are categories of their own, since ``007`` and ``4.10`` may be codes.
    """
    names = {cell: category_name(cell) for cell in cells}
    try:
        return dict(sorted(names.items(), key=lambda item: (bool(item[1]), float(item[1] or 0), item[1])))
    except ValueError:
        return dict(sorted(names.items(), key=lambda item: item[1]))


def category_name(cell: str) -> str:
    """Returns the name of the category of a cell: ``1`` for ``1.0`` and ``1,0``, otherwise the cell itself."""
    return re.sub(r"^([+-]?\d+)[.,]0*$", r"\1", cell) if "." in cell or "," in cell else cell
