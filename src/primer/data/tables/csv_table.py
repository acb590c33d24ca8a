"""Any table in a CSV file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.data.readers.csv_rows import Row, as_numbers, delimiter_of, read_rows
from primer.data.readers.lines import find_file
from primer.errors import InputError, suggest
from primer.spec import Classes, Spec, Values, Vector

Task = Literal["auto", "classification", "regression"]
Missing = Literal["error", "drop", "impute"]

MOST_CLASSES = 20
"""More different whole numbers than these make a target column one of values, under ``task=auto``."""
MOST_CATEGORIES = 1000
"""A column of more different texts than these is taken for names or keys, and refused as an input."""
LARGEST = float(np.finfo(np.float32).max)

log = logging.getLogger(__name__)


class CSVTable(DataModule):
    """Rows of a CSV file, UTF-8, whose first line names the columns; fields may be quoted.

    A column is numeric where each cell that is not missing is a number, else it is categorical. Numeric columns are
    standardised with the mean and deviation of the training part. A categorical column becomes one input for each
    category of the training part, 1 or 0; a category that only another part has is 0 in all of them. The classes are
    those of the whole file: in numerical order where all are numbers, else in that of the alphabet.

    Args:
        path: of the file. A relative path is looked up in ``data_dir``, then in the current folder.
        target: the column to predict; a list of several makes a regression of several values.
        task: ``auto`` is regression where the target column is numeric and has a value that is no whole number, or more
            than 20 different ones; classification otherwise.
        columns: the columns to predict from; all but the target by default.
        ignore: columns to leave out of those.
        delimiter: between the cells of a row: one character, or ``tab``.
        missing: what to do where a cell is empty, or ``NA``, ``N/A``, ``NaN``, ``null`` or ``?``. ``error`` names the
            line; ``drop`` leaves the row out; ``impute`` puts in the mean of the training part for a number and a
            category of its own for a category, and leaves out rows without a target.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: where the file cannot be read as a table, with its line, or a column is not in it.
    """

    inputs = Vector
    targets = Classes | Values

    def __init__(
        self,
        path: str | Path | None = None,
        target: str | Sequence[str] | None = None,
        task: Task = "auto",
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        delimiter: str = ",",
        missing: Missing = "error",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, valid in (
            ("task", task, ("auto", "classification", "regression")),
            ("missing", missing, ("error", "drop", "impute")),
        ):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(valid)}, not {value!r}")
        self.delimiter = delimiter_of(delimiter)
        self.path, self.task, self.missing = path, task, missing
        self.target = [target] if isinstance(target, str) else list(dict.fromkeys(target or ()))
        self.columns, self.ignore = columns, ignore

    def read(self) -> dict[Part, Records]:
        """The inputs as yet hold NaN for a missing number, and for a category its place in ``self.categories``."""
        if self.path is None:
            raise InputError("data=csv needs a file: set data.path to it, and data.target to the column to predict")
        self.file = find_file(str(self.path), self.data_dir, "data.path names a CSV file")
        names, rows = read_rows(self.file, self.delimiter)
        self.chosen = self._choose(names)
        rows = self._complete(names, rows)
        self.lines = [line for line, _ in rows]
        places = {name: names.index(name) for name in [*self.chosen, *self.target]}
        cells = {name: [row[k] for _, row in rows] for name, k in places.items()}
        targets = self._targets({name: cells[name] for name in self.target})
        self.categories: dict[str, list[str]] = {}
        inputs = np.column_stack([self._numbers(name, cells[name]) for name in self.chosen])
        return {"train": Batch(torch.from_numpy(inputs), torch.from_numpy(targets))}

    def labels(self, records: Any) -> np.ndarray | None:
        return records.targets.numpy() if self.classes else None

    def fit_spec(self, train: Any) -> Spec:
        self.known: dict[str, Tensor] = {}
        self.means: dict[str, Tensor] = {}
        features: list[str] = []
        mean: list[float] = []
        std: list[float] = []
        for name, column in zip(self.chosen, train.inputs.unbind(1), strict=True):
            if name in self.categories:
                self.known[name] = column.unique()
                added = [f"{name}={self.categories[name][int(k)] or '(missing)'}" for k in self.known[name]]
                means, deviations = (0.0,) * len(added), (1.0,) * len(added)
            else:
                self.means[name] = column.nanmean().nan_to_num(0.0)
                added = [name]
                means, deviations = moments(self._filled(name, column).float())
            features += added
            mean += means
            std += deviations
        target = Classes(self.classes) if self.classes else Values(tuple(self.target), *moments(train.targets))
        return Spec(Vector(len(features), tuple(features), tuple(mean), tuple(std)), target)

    def encode(self, records: Any) -> Batch:
        parts = []
        for name, column in zip(self.chosen, records.inputs.unbind(1), strict=True):
            if name in self.known:
                parts.append(column[:, None] == self.known[name])
            else:
                parts.append(self._filled(name, column))
        return Batch(torch.cat([part.float() for part in parts], dim=1), records.targets)

    def _filled(self, name: str, column: Tensor) -> Tensor:
        """A numeric column of shape ``(rows, 1)``, the mean of the training part where a number is missing."""
        return torch.where(column.isnan(), self.means[name], column)[:, None]

    def _choose(self, names: list[str]) -> list[str]:
        """The columns to predict from."""
        if not self.target:
            raise InputError(f"data.target must be the column to predict; {suggest('', names)}")
        for setting, asked in (("target", self.target), ("columns", self.columns or ()), ("ignore", self.ignore)):
            for name in asked:
                if name not in names:
                    raise InputError(f"data.{setting}: {self.file} has no column {name!r}; {suggest(name, names)}")
        wanted = dict.fromkeys(names if self.columns is None else self.columns)
        chosen = [name for name in wanted if name not in self.target and name not in self.ignore]
        if not chosen:
            raise InputError(f"{self.file} has no column left to predict {' and '.join(self.target)} from")
        return chosen

    def _complete(self, names: list[str], rows: list[Row]) -> list[Row]:
        """The rows that stay, by the policy for missing values."""
        needed = self.target if self.missing == "impute" else [*self.chosen, *self.target]
        places = [names.index(name) for name in needed]
        complete = [row for row in rows if all(row[1][k] for k in places)]
        if self.missing == "error" and len(complete) < len(rows):
            line, k = next((line, k) for line, cells in rows for k in places if not cells[k])
            raise InputError(
                f"{self.file}, line {line}: {names[k]!r} is missing; data.missing=drop leaves such rows out, "
                "data.missing=impute fills them up"
            )
        if not complete:
            raise InputError(f"{self.file}: each of its {len(rows)} rows lacks one of {', '.join(needed)}")
        if len(complete) < len(rows):
            log.warning("%s: %d of %d rows left out for missing cells", self.file, len(rows) - len(complete), len(rows))
        return complete

    def _targets(self, cells: dict[str, list[str]]) -> np.ndarray:
        """The targets, and with ``self.classes`` the names of the classes; it is empty for values."""
        self.classes: tuple[str, ...] = ()
        name, texts = next(iter(cells.items()))
        numbers = as_numbers(texts)
        if self.task == "regression" or len(cells) > 1 or self._measures(name, texts, numbers):
            if self.task == "classification":
                raise InputError(f"data.task=classification takes one target, not {len(cells)}: {', '.join(cells)}")
            columns = [self._values(name, texts) for name, texts in cells.items()]
            return np.column_stack(columns).astype(np.float32)
        self.classes = tuple(sorted(set(texts), key=None if numbers is None else float))
        if len(self.classes) < 2:
            raise InputError(f"{self.file}: the target {name!r} is {texts[0]!r} in every row, so nothing can be learnt")
        place = {label: k for k, label in enumerate(self.classes)}
        return np.array([place[text] for text in texts])

    def _measures(self, name: str, texts: list[str], numbers: np.ndarray | None) -> bool:
        """Whether one target column holds values rather than classes, by the rule of ``task=auto``."""
        if self.task != "auto":
            return False
        if numbers is not None:
            return bool((numbers % 1 != 0).any()) or len(set(numbers)) > MOST_CLASSES
        odd = [k for k, text in enumerate(texts) if as_numbers([text]) is None]
        if len(odd) < len(texts) / 2:
            raise InputError(
                f"{self.file}, line {self.lines[odd[0]]}: the target {name!r} is {texts[odd[0]]!r}, where most rows "
                "have a number; correct it, or set data.task"
            )
        return False

    def _values(self, name: str, texts: list[str]) -> np.ndarray:
        numbers = as_numbers(texts)
        if numbers is None:
            k = next(k for k, text in enumerate(texts) if as_numbers([text]) is None)
            raise InputError(
                f"{self.file}, line {self.lines[k]}: the target {name!r} is {texts[k]!r}, and regression needs a number"
            )
        return self._finite(name, numbers)

    def _numbers(self, name: str, texts: list[str]) -> np.ndarray:
        """An input column: its numbers, or the place of each cell among its categories."""
        numbers = as_numbers(texts)
        if numbers is not None:
            return self._finite(name, numbers)
        self.categories[name] = sorted(set(texts))
        if len(self.categories[name]) > MOST_CATEGORIES:
            raise InputError(
                f"{self.file}: the column {name!r} has {len(self.categories[name])} different texts, more than "
                f"{MOST_CATEGORIES} categories; add it to data.ignore"
            )
        place = {category: k for k, category in enumerate(self.categories[name])}
        return np.array([place[text] for text in texts], dtype=np.float64)

    def _finite(self, name: str, numbers: np.ndarray) -> np.ndarray:
        large = np.flatnonzero(np.abs(numbers) > LARGEST)
        if large.size:
            line = self.lines[large[0]]
            raise InputError(f"{self.file}, line {line}: {name!r} is {numbers[large[0]]}, too large to compute with")
        return numbers
