"""Rows of a CSV file, for classification, regression, or without a target."""

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
from primer.data.loading.scaling import find_offset, moments, to_single
from primer.data.readers.cells import CellFormat, category_names
from primer.data.readers.columns import KEYS, TextColumn, identifies_rows, quote_list, to_numbers
from primer.data.readers.csv_rows import Row, SkipRows, parse_delimiter, parse_skip_rows, read_rows
from primer.data.readers.lines import find_file
from primer.data.tables.encoding import UNSEEN_CATEGORY, encode_columns, feature_names
from primer.errors import InputError, suggest
from primer.records.console import say
from primer.spec import Classes, Column, NoTarget, Spec, Values, Vector

Task = Literal["auto", "classification", "regression"]
Missing = Literal["error", "drop", "impute"]

MAX_CLASSES = 20
"""Under ``task=auto``, a target column with more distinct integers than this is a regression target."""
MAX_CATEGORIES = 1000
"""An input column with more distinct texts than this is rejected: it probably holds names or keys."""
log = logging.getLogger(__name__)


class CSVTable(DataModule):
    """Rows of a UTF-8 CSV file, whose first line names the columns; cells may be quoted.

    A column is numeric if all its cells that are not missing are numbers, and categorical if none is or ``categorical``
    names it; a column with both, or with numbers in another format, is an error. Numeric columns are standardized with
    the mean and standard deviation of the training part. Categorical columns are one-hot encoded over the categories of
    the training part. The classes are those of the whole file, in numerical order if all are numbers, otherwise in
    alphabetical order.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        target: the column to predict, or several columns for regression; an empty list for none, for models that learn
            without targets.
        task: ``classification``, ``regression`` or ``auto``, which is regression if the target column is numeric and
            has a non-integer or more than 20 distinct values, otherwise classification.
        columns: the input columns; all except the targets by default.
        ignore: columns to exclude from the inputs.
        categorical: input columns whose numbers are categories.
        delimiter: the character between cells, or ``tab``.
        decimal, thousands: the decimal mark and the separator of thousands; see ``CellFormat``.
        na_values: markers of missing values besides the default ones; see ``CellFormat``.
        keep_default_na: whether the default markers count: ``NA``, ``N/A``, ``NaN``, ``null``, ``None``, ``?`` etc.
        skip_rows: the number of lines before the column names, or a list of line numbers to leave out, from 1.
        missing: how to treat missing values: ``error`` reports the line; ``drop`` drops the row; ``impute`` replaces
            missing numbers by the mean of the training part, treats missing categories as a separate category, and
            drops rows without a target.
        unseen: how to treat categories that do not occur in the training part: ``ignore`` encodes them as zeros,
            ``error`` raises an error.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if the file is not a valid table, with the line, or does not have a column.
    """

    inputs = Vector
    targets = Classes | Values | NoTarget

    def __init__(
        self,
        path: str | Path | None = None,
        target: str | Sequence[str] | None = None,
        task: Task = "auto",
        columns: Sequence[str] | None = None,
        ignore: Sequence[str] = (),
        categorical: Sequence[str] = (),
        delimiter: str = ",",
        decimal: str = ".",
        thousands: str | None = None,
        na_values: Sequence[str | float] = (),
        keep_default_na: bool = True,
        skip_rows: SkipRows = 0,
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
        self.format = CellFormat(decimal, thousands, na_values, keep_default_na)
        self.delimiter, self.skip_rows = parse_delimiter(delimiter), parse_skip_rows(skip_rows)
        self.path, self.task, self.missing, self.unseen = path, task, missing, unseen
        self.target = [target] if isinstance(target, str) else list(dict.fromkeys(target or ()))
        self.is_target_missing = target is None
        if target is not None and not self.target and task != "auto":
            raise InputError(f"data.task={task} needs a target: set data.target")
        self.columns, self.ignore, self.categorical = columns, ignore, categorical

    def read(self) -> dict[Part, Records]:
        """Returns unencoded inputs: missing numbers are NaN, and categories are indices into ``self.categories``."""
        if self.path is None:
            raise InputError("data=csv requires a file: set data.path, and data.target to the column to predict")
        self.file = find_file(str(self.path), self.data_dir, "data.path names a CSV file")
        names, rows = read_rows(self.file, self.delimiter, skip_rows=self.skip_rows, format=self.format)
        self.input_columns = self._select_inputs(names)
        rows = self._drop_missing(names, rows)
        lines = [line for line, _ in rows]
        positions = {name: names.index(name) for name in [*self.input_columns, *self.target]}
        columns = {
            name: TextColumn(self.file, name, [row[k] for _, row in rows], lines) for name, k in positions.items()
        }
        targets = self._parse_targets([columns[name] for name in self.target])
        self.categories: dict[str, list[str]] = {}
        inputs = np.column_stack([self._parse_input(columns[name]) for name in self.input_columns])
        return {"train": Batch(torch.from_numpy(inputs), None if targets is None else torch.from_numpy(targets))}

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
        offset = find_offset(tuple(mean), tuple(std))
        columns = tuple(self.input_encodings)
        vector = Vector(len(features), tuple(features), tuple(mean), tuple(std), columns, offset)
        return Spec(vector, self._fit_target(train.targets))

    def _fit_target(self, targets: Tensor | None) -> Classes | Values | NoTarget:
        if targets is None:
            return NoTarget()
        if self.classes:
            return Classes(self.classes)
        mean, std = moments(targets)
        return Values(tuple(self.target), mean, std, offset=find_offset(mean, std))

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Vector)
        values = [
            self._known_categories(*pair) for pair in zip(self.input_encodings, records.inputs.unbind(1), strict=True)
        ]
        inputs, target = encode_columns(self.input_encodings, values), self.spec.target
        targets = to_single(records.targets, target.offset) if isinstance(target, Values) else records.targets
        return Batch(to_single(inputs, self.spec.input.offset), targets)

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
        if self.is_target_missing:
            raise InputError(f"data.target must be the column to predict; {suggest('', names)}; or [] for none")
        for setting in ("target", "columns", "ignore", "categorical"):
            for name in getattr(self, setting) or ():
                if name not in names:
                    raise InputError(
                        f"data.{setting}: {self.file} does not have a column {name!r}; {suggest(name, names)}"
                    )
        candidates = dict.fromkeys(names if self.columns is None else self.columns)
        selected = [name for name in candidates if name not in self.target and name not in self.ignore]
        if not selected:
            purpose = f"predict {' and '.join(self.target)} from" if self.target else "learn from"
            raise InputError(f"{self.file} does not have any columns to {purpose}")
        return selected

    def _drop_missing(self, names: list[str], rows: list[Row]) -> list[Row]:
        """Applies the policy for missing values to the rows."""
        required = self.target if self.missing == "impute" else [*self.input_columns, *self.target]
        positions = [names.index(name) for name in required]
        complete = [row for row in rows if all(row[1][k] for k in positions)]
        if self.missing == "error" and len(complete) < len(rows):
            line, k = next((line, k) for line, cells in rows for k in positions if not cells[k])
            raise InputError(
                f"{self.file}, line {line}: {names[k]!r} is missing; values are missing in "
                f"{len(rows) - len(complete)} of {len(rows)} rows: set data.missing=drop to drop them, or "
                "data.missing=impute to fill inputs"
            )
        if not complete:
            raise InputError(f"{self.file}: all {len(rows)} rows have missing values in {', '.join(required)}")
        if len(complete) < len(rows):
            log.warning(
                "%s: dropped %d of %d rows with missing values", self.file, len(rows) - len(complete), len(rows)
            )
        return complete

    def _parse_targets(self, columns: list[TextColumn]) -> np.ndarray | None:
        """Returns the targets, if there are any, and sets ``self.classes`` to the class names, which are empty for
        regression."""
        self.classes: tuple[str, ...] = ()
        if not columns:
            return None
        if self.task == "classification" and len(columns) > 1:
            raise InputError(
                f"data.task=classification accepts one target, not {len(columns)}: {', '.join(self.target)}"
            )
        if self.task == "regression" or len(columns) > 1:
            return np.column_stack([self._parse_values(column) for column in columns])
        (column,) = columns
        numbers = to_numbers(column, self.format, "data.task=classification") if self.task == "auto" else None
        if numbers is not None and ((numbers % 1 != 0).any() or len(set(numbers)) > MAX_CLASSES):
            return numbers[:, None]
        names = category_names(set(column.cells))
        self.classes = tuple(dict.fromkeys(names.values()))
        if len(self.classes) < 2:
            raise InputError(
                f"{self.file}: the target {column.name!r} is {column.cells[0]!r} in every row; at least two classes "
                "are needed"
            )
        class_to_index = {label: k for k, label in enumerate(self.classes)}
        return np.array([class_to_index[names[cell]] for cell in column.cells])

    def _parse_values(self, column: TextColumn) -> np.ndarray:
        numbers = to_numbers(column, self.format)
        assert numbers is not None  # Rows without a target are errors or dropped.
        return numbers

    def _parse_input(self, column: TextColumn) -> np.ndarray:
        """Returns an input column as numbers, or as indices into its categories."""
        name = column.name
        if name not in self.categorical:
            numbers = to_numbers(column, self.format, f"data.categorical={quote_list([name])}")
            if numbers is not None:
                if self.columns is None and len(self.input_columns) > 1 and identifies_rows(column, numbers):
                    say(
                        f"note: the input {name!r} differs in each row: if it only names rows, leave it out with "
                        f"data.ignore={quote_list([name])}"
                    )
                return numbers
        names = category_names(set(column.cells))
        self.categories[name] = list(dict.fromkeys(names.values()))
        if len(self.categories[name]) > MAX_CATEGORIES or (len(names) == len(column.cells) >= KEYS):
            raise InputError(
                f"{self.file}: the column {name!r} has {len(names)} distinct texts in {len(column.cells)} rows, too "
                f"many for categories; leave it out with data.ignore={quote_list([name])}"
            )
        category_to_index = {category: k for k, category in enumerate(self.categories[name])}
        return np.array([category_to_index[names[cell]] for cell in column.cells], dtype=np.float64)
