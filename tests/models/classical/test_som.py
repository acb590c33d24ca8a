"""Self-organizing maps quantize and preserve neighborhoods."""

from __future__ import annotations

import json

import pytest
import torch
from helpers.classical import fitted, whole_table

import primer
from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.data.tables.tables import Iris
from primer.errors import InputError
from primer.models.classical.som import SOM


def topographic_error(model: SOM, points: torch.Tensor) -> float:
    best = (points[:, None] - model.units).norm(dim=2).argsort(1)[:, :2]
    rows, columns = best // model.columns, best % model.columns
    apart = torch.maximum((rows[:, 0] - rows[:, 1]).abs(), (columns[:, 0] - columns[:, 1]).abs())
    return (apart > 1).double().mean().item()


def test_errors_on_iris(record_figure) -> None:
    spec, batch = whole_table(Iris)
    model = SOM(spec)
    model.fit(batch)
    loss, error = model.step(batch).loss.item(), topographic_error(model, batch.inputs)
    record_figure(f"SOM of 10 x 10 units on all of Iris: quantization error {loss:.3f}, topographic error {error:.3f}")
    assert loss <= 0.32
    assert error <= 0.07


def test_fitting_lowers_the_quantization_error() -> None:
    data = Iris().prepare()
    batch = data.whole("train")
    losses = [fitted(SOM, data, epochs=count).step(batch).loss.item() for count in (1, 50)]
    assert losses[1] < 0.6 * losses[0]


def test_each_sample_belongs_to_the_nearest_unit() -> None:
    data = Digits().prepare()
    model, batch = fitted(SOM, data, rows=6, columns=8, epochs=5), data.whole("test")
    apart = (batch.inputs.flatten(1)[:, None].double() - model.units.double()).norm(dim=2)
    assert torch.equal(model.predict_batch(batch), apart.argmin(1))


def test_a_run_reports_the_topographic_error(run_in_process) -> None:
    result = run_in_process("train.py", "model=som", "model.rows=5", "model.columns=8")
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    model = primer.load(result.folder)
    assert isinstance(model, SOM)
    points = Iris(batch_size=16).prepare().whole("test").inputs
    assert metrics["test/topographic_error"] == pytest.approx(topographic_error(model, points), abs=1e-6)
    assert (result.folder / "pictures" / "u_matrix.png").exists()
    assert model.predict([[5.1, 3.5, 1.4, 0.2]]).labels[0].startswith("row ")  # type: ignore[index]


def test_a_single_row_and_a_single_unit_are_fitted() -> None:
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    spec = Iris().prepare().spec
    for rows, columns in ((1, 9), (1, 1)):
        model = SOM(spec, rows, columns)
        model.fit(Batch(points))
        assert model.units.isfinite().all()
    torch.testing.assert_close(model.units[0], points.mean(0), atol=1e-5, rtol=0)


def test_a_small_radius_leaves_no_unit_at_the_origin() -> None:
    spec, batch = whole_table(Iris)
    model = SOM(spec, 10, 10, final_radius=0.01)
    model.fit(batch)
    assert (model.units.norm(dim=1) > 1e-3).all()


def test_invalid_settings_are_rejected() -> None:
    for settings in ({"rows": 0}, {"radius": 0.0}, {"final_radius": -1.0}, {"epochs": 0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            SOM(Iris().prepare().spec, **settings)
