"""Gaussian mixtures agree with scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, whole_table
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Estimator

from primer.data.tables.tables import Iris, Wine
from primer.errors import InputError
from primer.models.classical.gaussian_mixture import GaussianMixture

SEED = int(torch.randint(2**31 - 1, (), generator=torch.Generator().manual_seed(0)))
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


@pytest.mark.parametrize(("kind", "covariance", "index"), [(Iris, "full", 0.9), (Wine, "diag", 0.9)])
def test_clusters_agree_with_classes(kind, covariance, index: float, record_figure) -> None:
    spec, batch = whole_table(kind)
    torch.manual_seed(0)
    model = GaussianMixture(spec, clusters=3, covariance=covariance)
    model.fit(batch)
    score = adjusted_rand_score(batch.targets, model.predict_batch(batch))
    record_figure(f"Gaussian mixture on all of {kind.__name__}: adjusted Rand index {score:.3f}")
    assert score == pytest.approx(index, abs=0.02)


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
