"""Forecast errors are relative to those of naive forecasts, which score 1 themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.series.series import TimeSeries
from primer.objectives import MAE, MSE, GaussianNLL, Huber
from primer.spec import Values

TARGET = Values(("a t+1", "a t+2"), (1.0, 1.0), (2.0, 2.0), (0.5, 2.0), (4.0, 8.0), (0, 0))


def compute_metrics(
    target: Values, predictions: Tensor, targets: Tensor, inputs: Tensor, batch_size: int = 1000
) -> dict[str, float]:
    metrics = MSE(target).metrics()
    for start in range(0, len(targets), batch_size):
        rows = slice(start, start + batch_size)
        metrics.update(predictions[rows], targets[rows], inputs=inputs[rows], outputs=predictions[rows])
    return {name: value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_errors_are_divided_by_the_scale_of_their_horizon(batch_size: int) -> None:
    targets = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]])
    errors = torch.tensor([[0.5, 1.0], [-1.0, 0.0], [0.0, -4.0]])
    inputs = torch.zeros(3, 5, 2)
    inputs[:, -1, 0] = torch.tensor([0.0, 1.0, -0.5])  # 1, 3 and 0 in the unit of the data.
    metrics = compute_metrics(TARGET, targets + errors, targets, inputs, batch_size)
    assert metrics["mase"] == pytest.approx((0.5 / 0.5 + 1 / 2 + 1 / 0.5 + 4 / 2) / 6)
    assert metrics["mase_seasonal"] == pytest.approx((0.5 / 4 + 1 / 8 + 1 / 4 + 4 / 8) / 6)
    assert metrics["mae"] == pytest.approx(6.5 / 6)
    assert metrics["relative_mae"] == pytest.approx(6.5 / (0 + 1 + 0 + 1 + 5 + 0))


def test_scaled_errors_differ_after_a_perfect_first_batch() -> None:
    targets, inputs = torch.ones(2, 2), torch.zeros(2, 5, 1)
    metrics = compute_metrics(TARGET, torch.tensor([[1.0, 1.0], [2.0, 1.0]]), targets, inputs, batch_size=1)
    assert metrics["mase"] == pytest.approx(0.5)
    assert metrics["mase_seasonal"] == pytest.approx(1 / 16)


@pytest.mark.parametrize("objective", [MSE, MAE, Huber, GaussianNLL])
def test_metrics_depend_on_the_statistics_of_the_target(objective: Any) -> None:
    plain = Values(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    naive = Values(("a t+1",), (0.0,), (1.0,), (1.0,), continues=(0,))
    assert set(objective(plain).metrics()) == {"mse", "rmse", "mae", "r2"}
    assert set(objective(naive).metrics()) == {"mse", "rmse", "mae", "r2", "mase", "relative_mae"}
    assert set(objective(TARGET).metrics()) == {"mse", "rmse", "mae", "r2", "mase", "relative_mae", "mase_seasonal"}


@pytest.mark.parametrize("horizon", [1, 3])
def test_naive_forecast_scores_one(horizon: int, tmp_path: Path) -> None:
    """The metrics are computed on the same steps that the scale is estimated on, for two series."""
    torch.manual_seed(0)
    values = torch.randn(200, 2).cumsum(0)
    path = tmp_path / "walk.csv"
    path.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in values.tolist()))
    data = TimeSeries(path, ["a", "b"], window=1, horizon=horizon, season=1, batch_size="full").prepare()
    (batch,) = data.train_dataloader()
    assert isinstance(batch, Batch)
    assert batch.targets is not None
    assert isinstance(data.spec.target, Values)
    mean, std = (torch.tensor(x) for x in (data.spec.target.mean, data.spec.target.std))
    last = batch.inputs[:, -1].repeat_interleave(horizon, 1) * std + mean
    metrics = compute_metrics(data.spec.target, last, batch.targets, batch.inputs, batch_size=50)
    assert metrics["relative_mae"] == pytest.approx(1, rel=1e-5)
    assert metrics["mase"] == pytest.approx(1, rel=1e-5 if horizon == 1 else 0.02)  # Fewer windows than differences.
    assert data.spec.target.naive == data.spec.target.seasonal
