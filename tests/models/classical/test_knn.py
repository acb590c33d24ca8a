"""k-nearest neighbors agrees with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, probabilities, standardized
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from primer.data.tables.tables import BreastCancer, Diabetes, Wine
from primer.errors import InputError
from primer.models.classical.knn import KNN


@pytest.mark.parametrize("neighbors", [1, 5])
def test_classes_and_probabilities_equal_those_of_scikit_learn(neighbors: int) -> None:
    data = BreastCancer().prepare()
    model, batch = fitted(KNN, data, neighbors=neighbors), data.whole("test")
    estimator = KNeighborsClassifier(neighbors).fit(*arrays(data, "train"))
    points, _ = arrays(data, "test")
    assert np.array_equal(model.predict_batch(batch).numpy(), estimator.predict(points))
    np.testing.assert_allclose(probabilities(model, batch), estimator.predict_proba(points), atol=1e-6)


def test_values_equal_those_of_scikit_learn() -> None:
    data = Diabetes().prepare()
    model = fitted(KNN, data, neighbors=7)
    estimator = KNeighborsRegressor(7).fit(arrays(data, "train")[0], standardized(model, data))
    expected = estimator.predict(arrays(data, "test")[0])
    np.testing.assert_allclose(model(data.whole("test").inputs), expected, atol=1e-6)


def test_more_neighbors_than_samples_are_rejected() -> None:
    with pytest.raises(InputError, match=r"model\.neighbors=30: the training part has only 20 samples"):
        fitted(KNN, Wine(train_size=20).prepare(), neighbors=30)
    with pytest.raises(InputError, match="neighbors must be at least 1"):
        KNN(Wine().prepare().spec, neighbors=0)


def test_equally_frequent_classes_predict_the_first() -> None:
    model = KNN(Wine().prepare().spec, neighbors=2)
    model.points, model.answers = torch.eye(2, 13), torch.tensor([2, 1])
    assert model.predict_batch(Wine().prepare().whole("test")).unique().tolist() == [1]
