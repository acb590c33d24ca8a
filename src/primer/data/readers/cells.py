"""Parses the cells of tables: numbers, and markers of missing values."""

from __future__ import annotations

import math

from primer.data.readers.csv_rows import MISSING


class CellFormat:
    """How the cells of a table are read."""

    def is_missing(self, cell: str) -> bool:
        """Whether a stripped cell stands for a missing value."""
        return cell.lower() in MISSING

    def number(self, cell: str) -> float | None:
        """Returns the value of a stripped cell, or None if it is not a number."""
        try:
            value = float(cell)
        except ValueError:
            return None
        return None if math.isnan(value) else value


def category_name(cell: str) -> str:
    """Returns the name of the category of a cell."""
    return cell
