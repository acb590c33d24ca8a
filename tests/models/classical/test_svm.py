"""Support vector machines predict from their support vectors what scikit-learn predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, probabilities, standardized
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, SVR

from primer.batch import Batch
from primer.data.tables.tables import BreastCancer, Diabetes, Iris, Wine
from primer.errors import InputError
from primer.models.classical.svm import SVM

KERNELS = [{"kernel": "linear"}, {"kernel": "rbf"}, {"kernel": "poly", "coef0": 1.0, "degree": 2}]


@pytest.mark.parametrize("data", [Iris, BreastCancer])
@pytest.mark.parametrize("settings", KERNELS, ids=["linear", "rbf", "poly"])
def test_decisions_and_probabilities_equal_those_of_scikit_learn(settings, data) -> None:
    data = data().prepare()
    model, batch = fitted(SVM, data, **settings), data.whole("test")
    train, (points, _) = arrays(data, "train"), arrays(data, "test")
    machine = SVC(**settings, decision_function_shape="ovr").fit(*train)
    decisions = model.class_values(batch.inputs.flatten(1)).numpy()
    expected = machine.decision_function(points)
    np.testing.assert_allclose(decisions, expected.reshape(decisions.shape), atol=1e-4)
    calibrated = CalibratedClassifierCV(SVC(**settings), ensemble=False, cv=StratifiedKFold(5)).fit(*train)
    np.testing.assert_allclose(probabilities(model, batch), calibrated.predict_proba(points), atol=1e-5)
    assert np.array_equal(model.predict_batch(batch).numpy(), calibrated.predict(points))


def test_values_equal_those_of_scikit_learn() -> None:
    data = Diabetes().prepare()
    model = fitted(SVM, data, c=0.5)
    machine = SVR(C=0.5).fit(arrays(data, "train")[0], standardized(model, data)[:, 0])
    outputs = model(data.whole("test").inputs)[:, 0]
    np.testing.assert_allclose(outputs, machine.predict(arrays(data, "test")[0]), atol=1e-5)


def test_classes_with_one_sample_or_none_are_fitted() -> None:
    points = torch.randn(30, 13, generator=torch.Generator().manual_seed(0))
    model = SVM(Wine().prepare().spec)
    model.fit(Batch(points, torch.tensor([0] + [2] * 29)))
    rows = model(points).exp()
    assert (rows[:, 1] <= 1e-7).all()
    torch.testing.assert_close(rows.sum(1), torch.ones(30))


def test_invalid_settings_and_a_single_class_are_rejected() -> None:
    spec = Wine().prepare().spec
    for settings in ({"c": 0.0}, {"gamma": -1.0}, {"degree": 0}, {"epsilon": -0.1}):
        with pytest.raises(InputError, match=next(iter(settings))):
            SVM(spec, **settings)
    for settings in ({"kernel": "linear", "gamma": 1.0}, {"coef0": 1.0}):
        with pytest.raises(InputError, match="has no effect on kernel"):
            SVM(spec, **settings)
    with pytest.raises(InputError, match="all are of one class"):
        SVM(spec).fit(Batch(torch.randn(20, 13), torch.zeros(20, dtype=torch.long)))
