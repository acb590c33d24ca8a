"""Gaussian naive Bayes agrees with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, probabilities
from sklearn.naive_bayes import GaussianNB

from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.data.tables.tables import BreastCancer, Iris, Wine
from primer.models.classical.gaussian_naive_bayes import GaussianNaiveBayes


@pytest.mark.parametrize("kind", [Iris, Wine, BreastCancer, Digits])
def test_classes_and_probabilities_equal_those_of_scikit_learn(kind) -> None:
    data = kind().prepare()
    model, batch = fitted(GaussianNaiveBayes, data), data.whole("test")
    estimator, (points, _) = GaussianNB().fit(*arrays(data, "train")), arrays(data, "test")
    assert np.array_equal(model.predict_batch(batch).numpy(), estimator.predict(points))
    np.testing.assert_allclose(probabilities(model, batch), estimator.predict_proba(points), atol=1e-5)


def test_a_class_without_training_samples_is_never_predicted() -> None:
    model = GaussianNaiveBayes(Iris().prepare().spec)
    points = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    model.fit(Batch(points, torch.arange(40) % 2))
    assert 2 not in model.predict_batch(Batch(points))
    assert model(points).isfinite().all()
