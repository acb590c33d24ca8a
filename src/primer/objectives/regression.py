"""Regression: losses and metrics for one or more values per sample."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.objectives.forecasting import forecast_metrics
from primer.spec import Target, Values, stored_mean


class Regression(Objective):
    """Base class for regression losses.

    Models are trained on standardized values, so the loss has no unit. Predictions and metrics are in the unit of the
    data; predictions, like targets, are relative to ``offset`` of the target. Forecasts are also compared with naive
    forecasts.
    """

    targets = Values
    mean: Tensor
    std: Tensor

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        assert isinstance(target, Values)
        self.values = len(target.names)
        self.register_buffer("mean", torch.tensor(stored_mean(target) or (0.0,) * self.values), persistent=False)
        self.register_buffer("std", torch.tensor(target.std or (1.0,) * self.values), persistent=False)

    @property
    def outputs(self) -> int:
        return self.values

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return self.distance(outputs, (targets - self.mean) / self.std), len(targets)

    def distance(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the mean loss between outputs and standardized targets, both ``(batch, values)``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement distance")

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs * self.std + self.mean

    def rescale(self, outputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Undoes a normalization per sample: converts outputs for values that had ``mean`` subtracted and were divided
        by ``std``, both ``(batch, values)``."""
        return outputs * std + mean

    def metrics(self) -> MetricCollection:
        assert isinstance(self.target, Values)
        metrics = {
            "mse": MeanSquaredError(),
            "rmse": MeanSquaredError(squared=False),
            "mae": MeanAbsoluteError(),
            "r2": R2(self.mean, self.std),
        }
        # Compute groups would merge the two scaled errors if the first batch has only perfect forecasts.
        return MetricCollection(metrics | forecast_metrics(self.target), compute_groups=False)


class R2(R2Score):
    """The coefficient of determination; NaN, rather than an error, for fewer than two samples.

    It is computed on standardized values, which does not change it but is numerically stable: torchmetrics sums
    squares, which in other units may underflow or lose the differences to rounding.

    Args:
        mean, std: of each value.
    """

    higher_is_better = True
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.register_buffer("std", std.clone(), persistent=False)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        super().update((predictions - self.mean) / self.std, (targets - self.mean) / self.std)

    def compute(self) -> Tensor:
        return super().compute() if self.total > 1 else torch.full((), torch.nan, device=self.device)


class MSE(Regression):
    """Mean squared error."""

    def distance(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets)


class MAE(Regression):
    """Mean absolute error, which is less sensitive to outliers than the squared error."""

    def distance(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.l1_loss(outputs, targets)


class Huber(Regression):
    """Huber loss (Huber 1964): squared up to ``delta`` (in standard deviations of the target), linear beyond."""

    def __init__(self, target: Target, delta: float = 1.0) -> None:
        super().__init__(target)
        if delta <= 0:
            raise InputError(f"delta must be greater than 0, not {delta}")
        self.delta = delta

    def distance(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.huber_loss(outputs, targets, delta=self.delta)

    def settings(self) -> dict[str, Any]:
        return {"delta": self.delta}


class GaussianNLL(Regression):
    """Negative log-likelihood of a normal distribution whose mean and variance the model predicts (Nix and Weigend
    1994). Outputs are ``(batch, 2 * values)``: the means, then the log-variances."""

    @property
    def outputs(self) -> int:
        return 2 * self.values

    def distance(self, outputs: Tensor, targets: Tensor) -> Tensor:
        mean, log_variance = outputs.chunk(2, dim=-1)
        return F.gaussian_nll_loss(mean, targets, log_variance.exp(), full=True)

    def predict(self, outputs: Tensor) -> Tensor:
        return super().predict(outputs.chunk(2, dim=-1)[0])

    def rescale(self, outputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        means, log_variances = outputs.chunk(2, dim=-1)
        return torch.cat([super().rescale(means, mean, std), log_variances + 2 * std.log()], dim=-1)

    def standard_deviation(self, outputs: Tensor) -> Tensor:
        """Returns the standard deviation of each prediction, in the unit of the data."""
        return (outputs.chunk(2, dim=-1)[1] / 2).exp() * self.std
