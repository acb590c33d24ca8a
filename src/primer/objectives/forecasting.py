"""Forecast errors relative to naive forecasts, which need no model."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from primer.spec import Values, stored_mean


def forecast_metrics(target: Values) -> dict[str, Metric]:
    """Returns ``mase`` and ``relative_mae`` relative to the last value, and ``mase_seasonal`` relative to the value one
    season earlier. A metric is omitted if the target lacks the statistics it needs."""
    metrics: dict[str, Metric] = {}
    if target.naive:
        metrics["mase"] = ScaledError(target.naive)
    if target.continues:
        metrics["relative_mae"] = RelativeError(target)
    if target.seasonal:
        metrics["mase_seasonal"] = ScaledError(target.seasonal)
    return metrics


class ScaledError(Metric):
    r"""Mean absolute scaled error, MASE (Hyndman and Koehler 2006, section 3), over all :math:`n` forecasts :math:`h`
    steps ahead, for steps :math:`t` of the evaluated part:

    .. math:: \frac{1}{n} \sum \frac{|\hat y_t - y_t|}{Q_h}, \qquad
        Q_h = \frac{1}{T - k} \sum_{s=k+1}^{T} |y_s - y_{s-k}|

    :math:`Q_h` is the mean absolute error of the naive forecast :math:`h` steps ahead on the :math:`T` steps of the
    training set. The naive forecast is the last value, :math:`k = h`, or, if seasonal, the last value of the same
    season, :math:`k = m \lceil h / m \rceil` with :math:`m` steps per season. For one step ahead this is the paper's
    definition. For longer horizons the paper keeps :math:`Q_1`, which is smaller for most series, so its values are
    larger.

    A value below 1 means that the forecasts beat the naive forecast's error on the training set, where the series may
    have been less volatile. ``relative_mae`` compares both on the same steps.

    Args:
        scale: :math:`Q_h` for each value.
    """

    higher_is_better: bool | None = False
    scale: Tensor
    scaled: Tensor
    forecasts: Tensor

    def __init__(self, scale: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.add_state("scaled", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("forecasts", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Updates the state with predictions and targets, both ``(batch, values)``, in the unit of the data."""
        self.scaled += ((predictions - targets).abs() / self.scale).sum()
        self.forecasts += targets.numel()

    def compute(self) -> Tensor:
        return self.scaled / self.forecasts


class RelativeError(Metric):
    """The mean absolute error divided by that of the naive forecast, the last value, on the same steps.

    Args:
        target: the values, with the input feature that each of them continues.
    """

    higher_is_better: bool | None = False
    mean: Tensor
    std: Tensor
    error: Tensor
    naive_error: Tensor

    def __init__(self, target: Values) -> None:
        super().__init__()
        self.continues = list(target.continues)
        self.register_buffer("mean", torch.tensor(stored_mean(target)), persistent=False)
        self.register_buffer("std", torch.tensor(target.std), persistent=False)
        self.add_state("error", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("naive_error", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, inputs: Tensor) -> None:
        """Updates the state with forecasts and targets ``(batch, values)`` in the unit of the data, and the preceding
        standardized windows ``(batch, time, features)``."""
        last = inputs[:, -1, self.continues]
        self.error += (predictions - targets).abs().sum()
        self.naive_error += (last * self.std + self.mean - targets).abs().sum()

    def compute(self) -> Tensor:
        return self.error / self.naive_error
