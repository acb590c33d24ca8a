"""Encodes time series: arrays, tensors, lists and DataFrames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.scaling import to_single
from primer.data.readers.cells import CellFormat
from primer.data.readers.columns import LARGEST
from primer.data.readers.csv_rows import parse_delimiter
from primer.data.readers.series_rows import LongTable
from primer.data.readers.ts_file import iterate_ts
from primer.data.series.labeled_series import encode_steps
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.prediction.files import Chunk
from primer.prediction.tables import as_table
from primer.spec import Series


def encode_series(kind: Series, inputs: Any) -> Encoded:
    """Encodes series.

    Args:
        kind: the series that the model expects.
        inputs: an array of shape ``(series, time, features)``, or a single series, ``(time, features)``, which may be a
            DataFrame with the columns by name. A series with one feature may be ``(time,)``. If the model expects
            windows, a longer series is cut into all of its windows, the last of which ends with the series. If it
            expects whole series, they may have different lengths, in a list, and NaN where values are missing.

    Raises:
        InputError: if the shape or a value does not fit.
    """
    if not kind.window and kind.mean and getattr(inputs, "dtype", None) not in (np.uint8, torch.uint8):
        return encode_whole(kind, to_list(kind, inputs))
    array = to_array(kind, inputs)
    if array.ndim == 1 and kind.features == 1:
        array = array[:, None]
    if array.ndim == 2 and kind.window and array.shape[1] == kind.features:
        if len(array) < kind.window:
            raise InputError(f"the series has {len(array)} steps, but this model needs {kind.window}")
        array = array.unfold(0, kind.window, 1).transpose(1, 2)  # A view, without copies.
    elif array.ndim == 2 and array.shape[1] == kind.features:
        array = array.unsqueeze(0)
    steps = kind.window or "time"
    if array.ndim != 3 or array.shape[2] != kind.features or (kind.window and array.shape[1] != kind.window):
        shape = f"(time, {kind.features}) or (series, {steps}, {kind.features})"
        raise InputError(f"series must have the shape {shape}, not {tuple(array.shape)}")
    return Encoded(Batch(array), len(array))


def to_array(kind: Series, inputs: Any) -> Tensor:
    """Returns the values as bytes or in single precision."""
    if hasattr(inputs, "columns") and kind.names:
        table = as_table(inputs, list(kind.names))
        inputs = np.column_stack([np.asarray(table[name]) for name in kind.names])
    try:
        array = inputs.detach().cpu() if isinstance(inputs, Tensor) else torch.from_numpy(np.array(inputs))
    except (TypeError, ValueError):
        raise InputError("a series must be an array of numbers") from None
    if array.dtype == torch.uint8:
        return array
    if not array.isfinite().all():
        raise InputError("the series has missing or infinite values: fill them first")
    return to_single(array.double(), kind.offset)


def encode_whole(kind: Series, series: list[Any]) -> Encoded:
    """Encodes whole series, whose missing values are filled as in training."""
    arrays, errors = [], {}
    for k, values in enumerate(series):
        try:
            arrays.append(check_series(kind, values))
        except InputError as error:
            errors[k] = str(error)
    return Encoded(encode_steps(kind, arrays), len(series), errors)


def to_list(kind: Series, inputs: Any) -> list[Any]:
    """Returns the series of inputs that are one of them, or several."""
    if hasattr(inputs, "columns"):
        return [inputs]
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu().numpy()
    if isinstance(inputs, np.ndarray):
        several = inputs.ndim == 3 or (inputs.ndim == 2 and kind.features == 1 != inputs.shape[1])
        return list(inputs) if several else [inputs]
    if not isinstance(inputs, list | tuple):
        raise InputError("series must be arrays of numbers, or a list of them")
    if not inputs:
        return []
    first = inputs[0]
    depth = 2 if hasattr(first, "columns") else first.ndim if hasattr(first, "ndim") else depth_of(first)
    if depth and any(not hasattr(row, "__len__") for row in inputs):
        raise InputError("series must be arrays of numbers, or a list of them")
    several = depth == 2 or (depth == 1 and kind.features == 1 and any(len(row) != 1 for row in inputs))
    return list(inputs) if several else [inputs]


def depth_of(values: Any) -> int:
    """Returns how deep lists are nested."""
    return 1 + (depth_of(values[0]) if len(values) else 0) if isinstance(values, list | tuple | np.ndarray) else 0


def check_series(kind: Series, values: Any) -> np.ndarray:
    """Returns the values of a whole series, ``(time, features)``, in double precision.

    Raises:
        InputError: if the shape or a value does not fit.
    """
    if hasattr(values, "columns") and kind.names:
        table = as_table(values, list(kind.names))
        values = np.column_stack([np.asarray(table[name]) for name in kind.names])
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("a series must be an array of numbers") from None
    array = array[:, None] if array.ndim == 1 and kind.features == 1 else array
    if array.ndim != 2 or array.shape[1] != kind.features or not len(array):
        raise InputError(f"series must have the shape (time, {kind.features}), not {tuple(array.shape)}")
    if (np.abs(array) > LARGEST).any():
        raise InputError("the series has values that are infinite or too large for single precision")
    return array


def read_series(kind: Series, path: Path, data: dict[str, Any], delimiter: str | None) -> Chunk:
    """Reads the series of a ``.ts`` file or a long table; classes are not needed.

    Args:
        kind: the series that the model expects.
        path: the file.
        data: the settings of the data in training.
        delimiter: the character between cells of a table; None for that of training.

    Raises:
        InputError: if the file as a whole cannot be read.
    """
    chunk = Chunk()
    if path.suffix.lower() == ".ts":
        for line in iterate_ts(path, labeled=False):
            chunk.add(line.number, None if line.series is None else line.series.values, line.error)
        return chunk
    format = {key: data[key] for key in ("decimal", "thousands", "na_values", "keep_default_na") if key in data}
    table = LongTable(
        data.get("id", "id"),
        data.get("label", "label"),
        data.get("time"),
        kind.names or None,
        parse_delimiter(delimiter or data.get("delimiter", ",")),
        CellFormat(**format),
        data.get("skip_rows", 0),
    )
    _, names, series = table.read(path, labeled=False)
    for name, values in zip(names, series, strict=True):
        chunk.add(name, values.values)
    return chunk
