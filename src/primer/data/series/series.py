"""Time series forecasting from a CSV file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import find_offset, moments, to_single
from primer.data.readers.cells import CellFormat
from primer.data.readers.csv_rows import SkipRows, parse_delimiter, parse_skip_rows
from primer.data.readers.lines import find_file
from primer.data.readers.steps import read_steps
from primer.errors import InputError
from primer.spec import Series, Spec, Values

EMBEDDED = ("sunspots", "co2")
"""Series included in Primer."""


class TimeSeries(DataModule):
    """Windows over columns of a UTF-8 CSV file, whose first line names the columns, with one row per time step.

    The inputs of a sample are ``window`` steps of the targets and the covariates, in this order of features. Its target
    is the target columns at each of the next ``horizon`` steps (direct multi-step forecasting).

    The series is split chronologically, without shuffling, into training, validation and test parts. The forecast steps
    of a window lie within its part; its input steps may reach into the previous part, as in practice. Mean and standard
    deviation are computed on the training part. With ``folds``, the forecast origin rolls forward (Tashman 2000): the
    series is cut into ``folds + 1`` blocks, and fold k, counted from 0, is tested on block k + 1 after training on all
    preceding steps, of which the last ``val_fraction`` is used for validation.

    Args:
        path: the file, looked up in ``data_dir``, then in the current folder; or ``sunspots`` or ``co2``.
        target: one or several columns to forecast.
        covariates: additional input columns.
        time: the column of times (numbers or ISO 8601 dates), used to sort rows and to find gaps. Without it, rows are
            treated as equally spaced, in the order of the file.
        time_format: the format of times, such as ``%d.%m.%Y``, as for ``datetime.strptime``.
        window: number of input steps.
        horizon: number of steps to forecast.
        stride: number of steps between windows.
        season: number of steps per season, for the seasonal naive forecast of the metric ``mase_seasonal``.
        missing: how to treat missing values and missing times: ``error`` reports the line; ``interpolate`` interpolates
            linearly between the neighboring values, of which the later one may lie in the next part.
        delimiter: the character between cells, or ``tab``.
        decimal, thousands, na_values, keep_default_na: how cells are read; see ``CellFormat``.
        skip_rows: the number of lines before the column names, or a list of line numbers to leave out, from 1.
        **kwargs: see ``DataModule``; ``train_size`` keeps the most recent windows.

    Raises:
        InputError: if a number is less than 1; when the data is read, if a line is malformed or the series is too
            short.
    """

    inputs = Series
    targets = Values

    def __init__(
        self,
        path: str | Path | None = None,
        target: str | Sequence[str] | None = None,
        covariates: Sequence[str] = (),
        time: str | None = None,
        time_format: str | None = None,
        window: int = 24,
        horizon: int = 1,
        stride: int = 1,
        season: int | None = None,
        missing: Literal["error", "interpolate"] = "error",
        delimiter: str = ",",
        decimal: str = ".",
        thousands: str | None = None,
        na_values: Sequence[str | float] = (),
        keep_default_na: bool = True,
        skip_rows: SkipRows = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("window", window), ("horizon", horizon), ("stride", stride), ("season", season)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if missing not in ("error", "interpolate"):
            raise InputError(f"missing must be one of error, interpolate, not {missing!r}")
        self.format = CellFormat(decimal, thousands, na_values, keep_default_na)
        self.delimiter, self.skip_rows = parse_delimiter(delimiter), parse_skip_rows(skip_rows)
        self.path, self.time, self.time_format, self.missing = path, time, time_format, missing
        self.target = [target] if isinstance(target, str) else list(dict.fromkeys(target or ()))
        self.covariates = [name for name in dict.fromkeys(covariates) if name not in self.target]
        self.window, self.horizon, self.stride, self.season = window, horizon, stride, season

    def read(self) -> dict[Part, Records]:
        """Returns all steps in order, ``(steps, features)``, as the inputs of a batch."""
        if self.path is None or not self.target:
            raise InputError("data=series requires a file and a column to forecast: set data.path and data.target")
        columns = [*self.target, *self.covariates]
        with self._file(str(self.path)) as file:
            steps, line = read_steps(
                file,
                columns,
                self.time,
                self.delimiter,
                self.missing == "interpolate",
                self.time_format,
                self.format,
                self.skip_rows,
            )
            self.end = f"{file}, line {line}"
        return {"train": Batch(torch.from_numpy(steps))}

    def _file(self, path: str) -> AbstractContextManager[Path]:
        if path in EMBEDDED:
            return resources.as_file(resources.files("primer.data") / "embedded" / f"{path}.csv")
        return nullcontext(find_file(path, self.data_dir, f"data.path names a CSV file, or is {' or '.join(EMBEDDED)}"))

    def fit_spec(self, train: Any) -> Spec:
        rows: Tensor = train.inputs
        mean, std = moments(rows)
        series, steps = len(self.target), range(1, self.horizon + 1)
        offset = find_offset(mean, std)
        values = rows[:, :series]
        return Spec(
            Series(rows.shape[1], mean, std, (*self.target, *self.covariates), self.window, offset),
            Values(
                tuple(f"{name} t+{step}" for name in self.target for step in steps),
                tuple(value for value in mean[:series] for _ in steps),
                tuple(value for value in std[:series] for _ in steps),
                self._naive_errors(values, list(steps)),
                self._naive_errors(values, [math.ceil(step / self.season) * self.season for step in steps])
                if self.season
                else (),
                tuple(column for column in range(series) for _ in steps),
                tuple(value for value in offset[:series] for _ in steps),
            ),
        )

    def encode(self, records: Any) -> Batch:
        assert isinstance(self.spec.input, Series)
        rows = to_single(records.inputs, self.spec.input.offset)
        if len(rows) < self.window + self.horizon:  # An empty part.
            return Batch(torch.empty(0, self.window, rows.shape[1]), torch.empty(0, len(self.target) * self.horizon))
        windows = rows.unfold(0, self.window + self.horizon, self.stride).transpose(1, 2)  # A view, without copies.
        targets = windows[:, self.window :, : len(self.target)].transpose(1, 2).flatten(1)
        return Batch(windows[:, : self.window], targets)

    def _naive_errors(self, values: Tensor, lags: list[int]) -> tuple[float, ...]:
        """Returns the mean absolute errors, on the training part, of forecasting each value by the one ``lag`` steps
        earlier; an empty tuple if one of them is 0, since errors cannot be scaled by it."""
        if max(lags) >= len(values):
            raise InputError(
                f"season={self.season}, horizon={self.horizon}: the seasonal naive forecast looks back {max(lags)} "
                f"steps, but the training part has only {len(values)} steps"
            )
        errors = [
            (values[lag:, k] - values[:-lag, k]).abs().mean().item() for k in range(values.shape[1]) for lag in lags
        ]
        return tuple(errors) if min(errors) > 0 else ()

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        rows: Tensor = parts["train"].inputs  # type: ignore[union-attr]
        size, before = len(rows), self.window
        if self.folds is None:
            test, end = size - round(self.test_fraction * size), size
            val = test - round(self.val_fraction * size)
        else:
            test, end = (size * (self.fold + block) // (self.folds + 1) for block in (1, 2))
            val = test - round(self.val_fraction * test)
        if test == end:
            raise InputError(f"test_fraction={self.test_fraction} leaves no steps for testing")
        for name, start, stop, needed in (
            ("training", 0, val, before + self.horizon),
            ("validation", val, test, self.horizon),
            ("test", test, end, self.horizon),
        ):
            if stop - start < needed and (stop > start or name == "training"):
                raise InputError(
                    f"{self.end}: the series ends after {size} steps, and its {name} part of {stop - start} steps is "
                    f"too short for window={before}, horizon={self.horizon}: it needs {needed}"
                )
        first = 0
        if self.train_size is not None:
            span = before + self.horizon + (self.train_size - 1) * self.stride
            if span > val:
                windows = (val - before - self.horizon) // self.stride + 1
                raise InputError(f"train_size={self.train_size}, but the training part has {windows} samples")
            first = val - span
        cuts: dict[Part, tuple[int, int]] = {
            "train": (first, val),
            "val": (val - before, test),
            "test": (test - before, end),
        }
        return {part: Batch(rows[start:stop]) for part, (start, stop) in cuts.items()}
