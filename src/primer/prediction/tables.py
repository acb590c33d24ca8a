"""Encodes rows of tables: DataFrames, arrays, dictionaries and lists of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.scaling import to_single
from primer.data.readers.cells import CellFormat, category_name
from primer.data.tables.encoding import UNSEEN_CATEGORY, encode_columns
from primer.errors import InputError, suggest
from primer.prediction.encoded import Encoded
from primer.spec import Column, Vector

LARGEST = float(np.finfo(np.float32).max)

Table = Mapping[str, Sequence[Any] | np.ndarray]
"""The cells of each column, by name."""


def encode_table(kind: Vector, inputs: Any, format: CellFormat | None = None) -> Encoded:
    """Encodes the rows of a table.

    Args:
        kind: the features that the model expects.
        inputs: see ``as_table``.
        format: how cells that are strings are read.
    """
    columns = table_columns(kind)
    table = as_table(inputs, [column.name for column in columns])
    errors: dict[int, str] = {}
    unseen: Counter[tuple[str, str]] = Counter()
    reader = CellReader(format or CellFormat(), errors, unseen)
    values = [torch.from_numpy(reader.read(column, table[column.name])) for column in columns]
    size = len(values[0])
    keep = torch.ones(size, dtype=torch.bool)
    keep[list(errors)] = False
    features = to_single(encode_columns(columns, [rows[keep] for rows in values]), kind.offset)
    return Encoded(Batch(features), size, errors, unseen=unseen)


def table_columns(kind: Vector) -> tuple[Column, ...]:
    """Returns the columns that features are computed from; each feature is one if the spec does not say."""
    names = kind.names or tuple(f"x{k}" for k in range(1, kind.features + 1))
    return kind.columns or tuple(Column(name) for name in names)


def as_table(inputs: Any, names: list[str]) -> Table:
    """Returns the cells by column.

    Args:
        inputs: a DataFrame, a dictionary of columns, or a list of dictionaries, whose columns may be in any order and
            more than needed; or an array, a tensor or a list of rows with exactly these columns in this order.
        names: the names of the columns.

    Raises:
        InputError: if a column is missing, or an array has another shape.
    """
    if hasattr(inputs, "columns") and hasattr(inputs, "loc"):  # A DataFrame; pandas need not be installed.
        inputs = {str(name): inputs[name].to_numpy() for name in inputs.columns}
    if isinstance(inputs, Mapping):
        check_columns(list(inputs), names)
        table = {name: [inputs[name]] if is_cell(inputs[name]) else inputs[name] for name in names}
        lengths = {name: len(table[name]) for name in names}
        if len(set(lengths.values())) > 1:
            raise InputError(f"the columns have different numbers of rows: {lengths}")
        return table
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(row, Mapping) for row in inputs):
        check_columns(list(dict.fromkeys(name for row in inputs for name in row)), names)
        return {name: [row.get(name) for row in inputs] for name in names}
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu()
    try:
        array: Any = np.asarray(inputs) if isinstance(inputs, Tensor | np.ndarray) else np.array(inputs, dtype=object)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise InputError(
            f"a table must have the shape (rows, {len(names)}), not {tuple(array.shape)}; "
            f"the columns are {', '.join(names)}"
        )
    return {name: array[:, k] for k, name in enumerate(names)}


def check_columns(available: list[str], names: list[str]) -> None:
    """Raises ``InputError`` if a column is missing."""
    for name in names:
        if name not in available:
            raise InputError(f"there is no column {name!r}; {suggest(name, map(str, available))}")


class CellReader:
    """Reads columns as numbers and indices of categories.

    Args:
        format: how cells that are strings are read.
        errors: receives the first problem of each row.
        unseen: counts the categories that training did not see.
    """

    def __init__(self, format: CellFormat, errors: dict[int, str], unseen: Counter[tuple[str, str]]) -> None:
        self.format, self.errors, self.unseen = format, errors, unseen

    def read(self, column: Column, cells: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Returns the values of a column, ``(rows,)``, as ``encode_columns`` expects them."""
        if column.categories:
            known = {category: k for k, category in enumerate(column.categories)}
            return np.array([self._category(column, known, k, cell) for k, cell in enumerate(cells)], dtype=np.float64)
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "fiub":
            numbers = cells.astype(np.float64)
        else:
            numbers = np.array([self._number(column, k, cell) for k, cell in enumerate(cells)], dtype=np.float64)
        for k in np.flatnonzero(np.abs(numbers) > LARGEST):
            self.errors.setdefault(int(k), f"{column.name!r} is {numbers[k]}, too large for single precision")
        for k in np.flatnonzero(np.isnan(numbers)) if column.required else ():
            self.errors.setdefault(int(k), f"{column.name!r} is missing")
        return numbers

    def _number(self, column: Column, row: int, cell: Any) -> float:
        text = cell_text(cell)
        if self.format.is_missing(text):
            return np.nan
        number = self.format.number(text) if isinstance(cell, str) else float(cell) if is_number(cell) else None
        if number is None:
            self.errors.setdefault(row, f"{column.name!r} is {text!r}, which is not a number")
            return np.nan
        return number

    def _category(self, column: Column, known: dict[str, int], row: int, cell: Any) -> int:
        text = cell_text(cell)
        category = "" if self.format.is_missing(text) else category_name(text)
        if category in known:
            return known[category]
        if not category and column.required:
            self.errors.setdefault(row, f"{column.name!r} is missing")
        elif column.unseen == "error":
            self.errors.setdefault(row, f"{column.name!r} is {category!r}, which is none of the categories of training")
        else:
            self.unseen[column.name, category or "(missing)"] += 1
        return UNSEEN_CATEGORY


def is_cell(value: Any) -> bool:
    """Whether a value is a single cell rather than a column."""
    return isinstance(value, str) or not hasattr(value, "__len__")


def is_number(cell: Any) -> bool:
    """Whether a cell is a number."""
    return isinstance(cell, int | float | np.number | np.bool_)


def cell_text(cell: Any) -> str:
    """Returns a cell as it would be written in a file; "" if it is missing."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None or cell != cell or str(cell) in ("<NA>", "NaT"):  # Only NaN differs from itself.
        return ""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))  # pandas stores integers as floats if one of them is missing.
    return str(cell)
