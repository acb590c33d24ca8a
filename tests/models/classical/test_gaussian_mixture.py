"""Gaussian mixtures agree with scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.classical import arrays, fitted
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Estimator
from torch import Generator, randint

from primer.data.tables.tables import Iris, Wine
from primer.errors import InputError
from primer.models.classical.gaussian_mixture import GaussianMixture

SEED = int(randint(2**31 - 1, (), generator=Generator().manual_seed(0)))
"""The seed that a fitted model draws for scikit-learn."""


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_likelihoods_and_clusters_equal_those_of_scikit_learn(covariance) -> None:
    data = Wine().prepare()
    settings = {"smoothing": 1e-3}
    model, batch = fitted(GaussianMixture, data, clusters=3, covariance=covariance, **settings), data.whole("test")
    estimator = Estimator(3, covariance_type=covariance, reg_covar=1e-3, random_state=SEED)
    estimator.fit(arrays(data, "train")[0])
    points = arrays(data, "test")[0]
    assert np.array_equal(model.predict_batch(batch).numpy(), estimator.predict(points))
    np.testing.assert_allclose(model(batch.inputs).softmax(1), estimator.predict_proba(points), atol=1e-4)
    assert -model.step(batch).loss.item() == pytest.approx(estimator.score(points), abs=1e-3)


@pytest.mark.parametrize(("kind", "index", "settings"), [(Iris, 0.85, {}), (Wine, 0.85, {"covariance": "diag"})])
def test_clusters_agree_with_classes(kind, index: float, settings, record_figure) -> None:
    data = kind(val_fraction=0, test_fraction=0.02).prepare()
    model = fitted(GaussianMixture, data, clusters=3, starts=5, **settings)
    score = adjusted_rand_score(arrays(data, "train")[1], model.predict_batch(data.whole("train")).numpy())
    record_figure(f"Gaussian mixture on {kind.__name__}: adjusted Rand index {score:.3f}")
    assert score >= index


def test_a_run_reports_the_likelihood(run_in_process) -> None:
    result = run_in_process("train.py", "model=gaussian_mixture")
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test/log_likelihood"] == pytest.approx(-metrics["test/loss"])
    assert (result.folder / "pictures" / "clusters.png").exists()


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="smoothing must be greater than 0"):
        GaussianMixture(Wine().prepare().spec, smoothing=0.0)
    with pytest.raises(InputError, match=r"model\.clusters=30: the training part has only 20 samples"):
        fitted(GaussianMixture, Wine(train_size=20).prepare(), clusters=30)
