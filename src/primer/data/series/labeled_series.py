"""Base class of data sets of whole series with one class each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import find_offset, moments, to_single
from primer.data.readers.cells import category_names
from primer.data.readers.ts_file import LabeledSeries
from primer.errors import InputError
from primer.spec import Classes, Series, Spec


class LabeledSeriesData(DataModule):
    """Series of one or several channels and any length, with one class each. A subclass defines ``read``, which returns
    lists of ``LabeledSeries``.

    Missing values are filled by linear interpolation within the channel, and with the nearest value at its ends; a
    channel without any value becomes the mean of the training part. Each channel is standardized with its mean and
    standard deviation over all steps of the training part. Series are padded to the longest one.

    Attributes:
        names: the names of the channels; empty if they have none.

    Raises:
        InputError: when the data is read, if series have different numbers of channels, a class does not occur in the
            training part, or a channel has no values there.
    """

    inputs = Series
    targets = Classes
    names: tuple[str, ...] = ()

    def labels(self, records: list[LabeledSeries]) -> np.ndarray:
        return np.array([series.label for series in records])

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        every: list[LabeledSeries] = [series for part in parts.values() for series in part]  # type: ignore[union-attr, misc]
        channels = every[0].values.shape[1]
        for series in every:
            if series.values.shape[1] != channels:
                raise InputError(
                    f"{series.location}: {series.values.shape[1]} channels, but {every[0].location} has {channels}"
                )
        self.padded = len({len(series.values) for series in every}) > 1
        return super().split(parts)

    def fit_spec(self, train: list[LabeledSeries]) -> Spec:
        classes = list(dict.fromkeys(category_names(series.label for series in train).values()))
        if len(classes) < 2:
            raise InputError(f"all training series have the class {classes[0]!r}; at least two classes are needed")
        steps = torch.from_numpy(np.concatenate([fill(series.values) for series in train]))
        mean: list[float] = []
        std: list[float] = []
        names: tuple[str, ...] = self.names
        for k, column in enumerate(steps.unbind(1)):
            if not len(known := column[~column.isnan()]):
                name = repr(names[k]) if names else str(k + 1)
                raise InputError(f"channel {name} has no values in {self.describe_training_set()}: leave it out")
            (m,), (s,) = moments(known[:, None])
            mean.append(m)
            std.append(s)
        offset = find_offset(tuple(mean), tuple(std))
        kind = Series(len(mean), tuple(mean), tuple(std), self.names, offset=offset, padded=self.padded)
        return Spec(kind, Classes(tuple(classes)))

    def encode(self, records: list[LabeledSeries]) -> Batch:
        kind, target = self.spec.input, self.spec.target
        assert isinstance(kind, Series)
        assert isinstance(target, Classes)
        classes = {name: k for k, name in enumerate(target.names)}
        for series in records:
            if series.label not in classes:
                remedy = "correct it, remove such series, or add some to the training part"
                raise InputError(
                    f"{series.location}: the class {series.label!r} does not occur in {self.describe_training_set()}, "
                    "so it cannot be learned: " + ("increase data.train_size" if self.train_size else remedy)
                )
        batch = encode_steps(kind, [series.values for series in records])
        return batch._replace(targets=torch.tensor([classes[series.label] for series in records], dtype=torch.int64))


def encode_steps(kind: Series, series: list[np.ndarray]) -> Batch:
    """Fills the missing values of series, each ``(time, channels)`` in double precision, and pads them to the longest
    one with the mean of each channel."""
    longest = max((len(values) for values in series), default=1)
    mean = np.array(kind.mean or (0.0,) * kind.features)
    padded = np.broadcast_to(mean, (len(series), longest, kind.features)).copy()
    for row, values in zip(padded, series, strict=True):
        row[: len(values)] = fill(values, mean)
    lengths: Tensor | None = None
    if kind.padded or len({len(values) for values in series}) > 1:
        lengths = torch.tensor([len(values) for values in series], dtype=torch.int64)
    return Batch(to_single(torch.from_numpy(padded), kind.offset), None, lengths)


def fill(values: np.ndarray, mean: np.ndarray | None = None) -> np.ndarray:
    """Fills the missing values of a series, ``(time, channels)``, by linear interpolation within each channel, and with
    the nearest value at its ends. A channel without any value becomes ``mean``; without ``mean``, it remains NaN."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    filled, steps = values.copy(), np.arange(len(values))
    for k in np.flatnonzero(missing.any(0)):
        known = ~missing[:, k]
        if known.any():
            filled[:, k] = np.interp(steps, steps[known], values[known, k])
        elif mean is not None:
            filled[:, k] = mean[k]
    return filled
