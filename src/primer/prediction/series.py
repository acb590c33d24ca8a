"""Encodes time series: arrays, tensors, lists and DataFrames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.scaling import to_single
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.prediction.tables import as_table
from primer.spec import Series


def encode_series(kind: Series, inputs: Any) -> Encoded:
    """Encodes series.

    Args:
        kind: the series that the model expects.
        inputs: an array of shape ``(series, time, features)``, or a single series, ``(time, features)``, which may be a
            DataFrame with the columns by name. A series with one feature may be ``(time,)``. If the model expects
            windows, a longer series is cut into all of its windows, the last of which ends with the series.

    Raises:
        InputError: if the shape or a value does not fit.
    """
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
