"""How good a forecast is beside the naive ones, which need no model."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from primer.spec import Values


def forecast_metrics(target: Values) -> dict[str, Metric]:
    """``mase`` and ``relative_mae`` beside the last value, ``mase_seasonal`` beside the value one season before; each
    where the target has what it needs."""
    found: dict[str, Metric] = {}
    if target.naive:
        found["mase"] = ScaledError(target.naive)
    if target.continues:
        found["relative_mae"] = RelativeError(target)
    if target.seasonal:
        found["mase_seasonal"] = ScaledError(target.seasonal)
    return found


class ScaledError(Metric):
    r"""The mean absolute scaled error (Hyndman and Koehler 2006, section 3), over all :math:`n` forecasts of steps
    :math:`t` of the part, :math:`h` steps ahead:

    .. math:: \frac{1}{n} \sum \frac{|\hat y_t - y_t|}{Q_h}, \qquad
        Q_h = \frac{1}{T - k} \sum_{s=k+1}^{T} |y_s - y_{s-k}|

    :math:`Q_h` is the error that the naive forecast makes on the :math:`T` steps of the training part, as many steps
    ahead: it says the last value, :math:`k = h`, or, seasonal, the last value of the same season, :math:`k = m \lceil h
    / m \rceil` with :math:`m` steps in a season. One step ahead this is the paper's definition; farther ahead the paper
    keeps :math:`Q_1`, which is smaller for most series, so that its figures are larger.

    Under 1, the forecasts are better than those naive ones were in training, where the series may have been quieter:
    ``relative_mae`` compares on the same steps.

    Args:
        scale: :math:`Q_h` of each value.
    """

    scale: Tensor
    scaled: Tensor
    forecasts: Tensor

    def __init__(self, scale: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.add_state("scaled", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("forecasts", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, values)``, in the unit of the data."""
        self.scaled += ((predictions - targets).abs() / self.scale).sum()
        self.forecasts += targets.numel()

    def compute(self) -> Tensor:
        return self.scaled / self.forecasts


class RelativeError(Metric):
    """The mean absolute error in parts of that which the naive forecast, the last value, makes of the same steps.

    Args:
        target: the values, and which feature of the windows each goes on from.
    """

    mean: Tensor
    std: Tensor
    error: Tensor
    naive_error: Tensor

    def __init__(self, target: Values) -> None:
        super().__init__()
        self.continues = list(target.continues)
        self.register_buffer("mean", torch.tensor(target.mean), persistent=False)
        self.register_buffer("std", torch.tensor(target.std), persistent=False)
        self.add_state("error", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("naive_error", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, inputs: Tensor) -> None:
        """Forecasts and targets ``(batch, values)`` in the unit of the data, and the standardised windows ``(batch,
        time, features)`` that they follow."""
        last = inputs[:, -1, self.continues]
        self.error += (predictions - targets).abs().sum()
        self.naive_error += (last * self.std + self.mean - targets).abs().sum()

    def compute(self) -> Tensor:
        return self.error / self.naive_error
