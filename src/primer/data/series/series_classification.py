"""Labeled series from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from primer.data.base import Part, Records
from primer.data.readers.cells import CellFormat
from primer.data.readers.csv_rows import SkipRows, parse_delimiter, parse_skip_rows
from primer.data.readers.lines import find_file
from primer.data.readers.series_rows import LongTable
from primer.data.readers.ts_file import LabeledSeries, read_ts
from primer.data.series.labeled_series import LabeledSeriesData
from primer.errors import InputError

PAIR = "_TRAIN.ts", "_TEST.ts"
"""The ends of the names of the two files of a data set of the UCR and UEA archives."""


class SeriesClassification(LabeledSeriesData):
    """Labeled series from ``.ts`` files or long CSV tables.

    A ``.ts`` file has the layout of the UCR and UEA archives; see ``primer.data.readers.ts_file``. If its name ends in
    ``_TRAIN.ts``, the file beside it that ends in ``_TEST.ts`` is the published test part. A table has one row per time
    step, with the series that it belongs to, the values of all channels, and the class of the series. The settings from
    ``id`` on are those of tables.

    Steps are treated as equally spaced. See ``LabeledSeriesData`` for missing values.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        test: the file of the published test part, if it is not found by its name.
        id, label: the columns of a table that name the series of each row, and its class.
        time: the column of times, numbers or ISO 8601 dates, by which the steps of a series are sorted. None keeps the
            order of the rows.
        channels: the columns of values; all others by default.
        delimiter: the character between cells of a table, or ``tab``.
        decimal, thousands, na_values, keep_default_na: how cells are read; see ``CellFormat``.
        skip_rows: the number of lines before the column names, or a list of line numbers to leave out, from 1.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a setting is invalid; when the data is read, if a file is missing or malformed, with the line.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        test: str | Path | None = None,
        id: str = "id",
        label: str = "label",
        time: str | None = None,
        channels: Sequence[str] | None = None,
        delimiter: str = ",",
        decimal: str = ".",
        thousands: str | None = None,
        na_values: Sequence[str | float] = (),
        keep_default_na: bool = True,
        skip_rows: SkipRows = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if len({id, label, time}) < 3:
            raise InputError(f"id={id}, label={label}, time={time}: they must be different columns")
        names = [*(channels or ()), id, label, *([time] if time else [])]
        if channels is not None and len({*names}) < len(names):
            raise InputError(f"channels={[*channels]} must be different columns, none of them the id, label or time")
        given = (
            ("id", id, "id"), ("label", label, "label"), ("time", time, None), ("channels", channels, None),
            ("delimiter", delimiter, ","), ("decimal", decimal, "."), ("thousands", thousands, None),
            ("na_values", [*na_values], []), ("keep_default_na", keep_default_na, True), ("skip_rows", skip_rows, 0),
        )  # fmt: skip
        self.of_tables = [f"{name}={value}" for name, value, default in given if value != default]
        format = CellFormat(decimal, thousands, na_values, keep_default_na)
        rows = parse_skip_rows(skip_rows)
        self.table = LongTable(id, label, time, channels, parse_delimiter(delimiter), format, rows)
        self.path, self.test = path, test

    def read(self) -> dict[Part, Records]:
        if self.path is None:
            raise InputError("data=series_classification requires a file: set data.path")
        hint = "data.path and data.test name .ts or CSV files"
        path = find_file(str(self.path), self.data_dir, hint)
        test = None if self.test is None else find_file(str(self.test), self.data_dir, hint)
        if test is None and path.name.endswith(PAIR[0]):
            other = path.with_name(path.name.removesuffix(PAIR[0]) + PAIR[1])
            test = other if other.is_file() else None
        parts: dict[Part, Records] = {"train": self._read_file(path)}
        names = self.names
        if test is not None:
            parts["test"] = self._read_file(test)
            if names and self.names and self.names != names:
                raise InputError(f"{test} has the channels {', '.join(self.names)}, but {path} has {', '.join(names)}")
        return parts

    def _read_file(self, path: Path) -> list[LabeledSeries]:
        if path.suffix.lower() == ".ts":
            if self.of_tables:
                raise InputError(
                    f"{path} is a .ts file, so {', '.join(self.of_tables)}, which describes a table, has no effect"
                )
            return read_ts(path)
        names, _, series = self.table.read(path)
        self.names = tuple(names)
        return series
