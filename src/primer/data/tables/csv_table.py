"""Classification and regression on a CSV file."""

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
from primer.data.readers.csv_rows import Row, as_numbers, parse_delimiter, read_rows
from primer.data.readers.lines import find_file
from primer.data.tables.encoding import UNSEEN_CATEGORY, encode_columns, feature_names
from primer.errors import InputError, suggest
from primer.spec import Classes, Column, Spec, Values, Vector

Task = Literal["auto", "classification", "regression"]
Missing = Literal["error", "drop", "impute"]

MAX_CLASSES = 20
"""Under ``task=auto``, a target column with more distinct integers than this is a regression target."""
MAX_CATEGORIES = 1000
"""An input column with more distinct texts than this is rejected: it probably holds names or keys."""
LARGEST = float(np.finfo(np.float32).max)

log = logging.getLogger(__name__)


class CSVTable(DataModule):
    """Rows of a UTF-8 CSV file, whose first line names the columns; cells may be quoted.

    A column is numeric if all its cells that are not missing are numbers, otherwise it is categorical. Numeric columns
    are standardized with the mean and standard deviation of the training part. Categorical columns are one-hot encoded
    over the categories of the training part. The classes are those of the whole file, in numerical order if all are
    numbers, otherwise in alphabetical order.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        target: the column to predict, or several columns for regression.
        task: ``classification``, ``regression`` or ``auto``, which is regression if the target column is numeric and
            has a non-integer or more than 20 distinct values, otherwise classification.
        columns: the input columns; all except the targets by default.
        ignore: columns to exclude from the inputs.
        delimiter: the character between cells, or ``tab``.
        missing: how to treat cells that are empty, ``NA``, ``N/A``, ``NaN``, ``null`` or ``?``: ``error`` reports the
            line; ``drop`` drops the row; ``impute`` replaces missing numbers by the mean of the training part, treats
            missing categories as a separate category, and drops rows without a target.
        unseen: how to treat categories that do not occur in the training part: ``ignore`` encodes them as zeros,
            ``error`` raises an error.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if the file is not a valid table, with the line, or does not have a column.
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
        unseen: Literal["ignore", "error"] = "ignore",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, valid in (
            ("task", task, ("auto", "classification", "regression")),
            ("missing", missing, ("error", "drop", "impute")),
            ("unseen", unseen, ("ignore", "error")),
        ):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(valid)}, not {value!r}")
        self.delimiter = parse_delimiter(delimiter)
        self.path, self.task, self.missing, self.unseen = path, task, missing, unseen
        self.target = [target] if isinstance(target, str) else list(dict.fromkeys(target or ()))
        self.columns, self.ignore = columns, ignore

    def read(self) -> dict[Part, Records]:
        """Returns unencoded inputs: missing numbers are NaN, and categories are indices into ``self.categories``."""
        if self.path is None:
            raise InputError("data=csv requires a file: set data.path, and data.target to the column to predict")
        self.file = find_file(str(self.path), self.data_dir, "data.path names a CSV file")
        names, rows = read_rows(self.file, self.delimiter)
        self.input_columns = self._select_inputs(names)
        rows = self._drop_missing(names, rows)
        self.lines = [line for line, _ in rows]
        positions = {name: names.index(name) for name in [*self.input_columns, *self.target]}
        cells = {name: [row[k] for _, row in rows] for name, k in positions.items()}
        targets = self._parse_targets({name: cells[name] for name in self.target})
        self.categories: dict[str, list[str]] = {}
        inputs = np.column_stack([self._parse_input(name, cells[name]) for name in self.input_columns])
        return {"train": Batch(torch.from_numpy(inputs), torch.from_numpy(targets))}

    def labels(self, records: Any) -> np.ndarray | None:
        return records.targets.numpy() if self.classes else None

    def fit_spec(self, train: Any) -> Spec:
        self.input_encodings: list[Column] = []
        features: list[str] = []
        mean: list[float] = []
        std: list[float] = []
        for name, values in zip(self.input_columns, train.inputs.unbind(1), strict=True):
            policy: dict[str, Any] = {"required": self.missing != "impute", "unseen": self.unseen}
            if name in self.categories:
                column = Column(name, tuple(self.categories[name][int(k)] for k in values.unique()), **policy)
                means, stds = (0.0,) * len(column.categories), (1.0,) * len(column.categories)
            else:
                column = Column(name, fill=values.nanmean().nan_to_num(0.0).item(), **policy)
                means, stds = moments(encode_columns([column], [values]))
            self.input_encodings.append(column)
            features += feature_names(column)
            mean += means
            std += stds
        target = Classes(self.classes) if self.classes else Values(tuple(self.target), *moments(train.targets))
        columns = tuple(self.input_encodings)
        return Spec(Vector(len(features), tuple(features), tuple(mean), tuple(std), columns), target)

    def encode(self, records: Any) -> Batch:
        values = [
            self._known_categories(*pair) for pair in zip(self.input_encodings, records.inputs.unbind(1), strict=True)
        ]
        return Batch(encode_columns(self.input_encodings, values), records.targets)

    def _known_categories(self, column: Column, values: Tensor) -> Tensor:
        """Converts indices into the categories of the file to indices into those of the training part."""
        if not column.categories:
            return values
        known = {category: k for k, category in enumerate(column.categories)}
        codes = torch.tensor([known.get(category, UNSEEN_CATEGORY) for category in self.categories[column.name]])
        result = codes[values.long()]
        if self.unseen == "error" and (result == UNSEEN_CATEGORY).any():
            category = self.categories[column.name][int(values[result == UNSEEN_CATEGORY][0])]
            raise InputError(
                f"{self.file}: the category {category or '(missing)'!r} of {column.name!r} does not occur in "
                f"{self.describe_training_set()}; set data.unseen=ignore to encode such categories as zeros"
            )
        return result

    def _select_inputs(self, names: list[str]) -> list[str]:
        """Returns the names of the input columns."""
        if not self.target:
            raise InputError(f"data.target must be the column to predict; {suggest('', names)}")
        for setting, columns in (("target", self.target), ("columns", self.columns or ()), ("ignore", self.ignore)):
            for name in columns:
                if name not in names:
                    raise InputError(
                        f"data.{setting}: {self.file} does not have a column {name!r}; {suggest(name, names)}"
                    )
        candidates = dict.fromkeys(names if self.columns is None else self.columns)
        selected = [name for name in candidates if name not in self.target and name not in self.ignore]
        if not selected:
            raise InputError(f"{self.file} does not have any columns to predict {' and '.join(self.target)} from")
        return selected

    def _drop_missing(self, names: list[str], rows: list[Row]) -> list[Row]:
        """Applies the policy for missing values to the rows."""
        required = self.target if self.missing == "impute" else [*self.input_columns, *self.target]
        positions = [names.index(name) for name in required]
        complete = [row for row in rows if all(row[1][k] for k in positions)]
        if self.missing == "error" and len(complete) < len(rows):
            line, k = next((line, k) for line, cells in rows for k in positions if not cells[k])
            raise InputError(
                f"{self.file}, line {line}: {names[k]!r} is missing; set data.missing=drop to drop such rows, or "
                "data.missing=impute to fill them"
            )
        if not complete:
            raise InputError(f"{self.file}: all {len(rows)} rows have missing values in {', '.join(required)}")
        if len(complete) < len(rows):
            log.warning(
                "%s: dropped %d of %d rows with missing values", self.file, len(rows) - len(complete), len(rows)
            )
        return complete

    def _parse_targets(self, cells: dict[str, list[str]]) -> np.ndarray:
        """Returns the targets, and sets ``self.classes`` to the class names, which are empty for regression."""
        self.classes: tuple[str, ...] = ()
        name, texts = next(iter(cells.items()))
        numbers = as_numbers(texts)
        if self.task == "regression" or len(cells) > 1 or self._infers_regression(name, texts, numbers):
            if self.task == "classification":
                raise InputError(f"data.task=classification accepts one target, not {len(cells)}: {', '.join(cells)}")
            columns = [self._parse_values(name, texts) for name, texts in cells.items()]
            return np.column_stack(columns).astype(np.float32)
        self.classes = tuple(sorted(set(texts), key=None if numbers is None else float))
        if len(self.classes) < 2:
            raise InputError(
                f"{self.file}: the target {name!r} is {texts[0]!r} in every row; at least two classes are needed"
            )
        class_to_index = {label: k for k, label in enumerate(self.classes)}
        return np.array([class_to_index[text] for text in texts])

    def _infers_regression(self, name: str, texts: list[str], numbers: np.ndarray | None) -> bool:
        """Whether ``task=auto`` treats the target column as a regression target."""
        if self.task != "auto":
            return False
        if numbers is not None:
            return bool((numbers % 1 != 0).any()) or len(set(numbers)) > MAX_CLASSES
        non_numeric = [k for k, text in enumerate(texts) if as_numbers([text]) is None]
        if len(non_numeric) < len(texts) / 2:
            raise InputError(
                f"{self.file}, line {self.lines[non_numeric[0]]}: the target {name!r} is {texts[non_numeric[0]]!r}, "
                "but most rows have a number; correct it, or set data.task"
            )
        return False

    def _parse_values(self, name: str, texts: list[str]) -> np.ndarray:
        numbers = as_numbers(texts)
        if numbers is None:
            k = next(k for k, text in enumerate(texts) if as_numbers([text]) is None)
            raise InputError(
                f"{self.file}, line {self.lines[k]}: the target {name!r} is {texts[k]!r}; regression requires numbers"
            )
        return self._check_range(name, numbers)

    def _parse_input(self, name: str, texts: list[str]) -> np.ndarray:
        """Returns an input column as numbers, or as indices into its categories."""
        numbers = as_numbers(texts)
        if numbers is not None:
            return self._check_range(name, numbers)
        self.categories[name] = sorted(set(texts))
        if len(self.categories[name]) > MAX_CATEGORIES:
            raise InputError(
                f"{self.file}: the column {name!r} has {len(self.categories[name])} distinct texts, more than "
                f"{MAX_CATEGORIES} categories; add it to data.ignore"
            )
        category_to_index = {category: k for k, category in enumerate(self.categories[name])}
        return np.array([category_to_index[text] for text in texts], dtype=np.float64)

    def _check_range(self, name: str, numbers: np.ndarray) -> np.ndarray:
        large = np.flatnonzero(np.abs(numbers) > LARGEST)
        if large.size:
            line = self.lines[large[0]]
            raise InputError(
                f"{self.file}, line {line}: {name!r} is {numbers[large[0]]}, too large for single precision"
            )
        return numbers
