"""The principal components are orthonormal and equal scikit-learn's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted
from sklearn.decomposition import PCA as Estimator  # noqa: N811

import primer
from primer.data.images.digits import Digits
from primer.data.tables.tables import Wine
from primer.errors import InputError
from primer.models.classical.pca import PCA


@pytest.mark.parametrize(("kind", "count"), [(Wine, 5), (Digits, 20)])
def test_components_equal_those_of_scikit_learn_up_to_sign(kind, count: int) -> None:
    data = kind().prepare()
    model = fitted(PCA, data, components=count)
    estimator = Estimator(count).fit(arrays(data, "train")[0])
    components = model.components.double().numpy()
    np.testing.assert_allclose(components @ components.T, np.eye(count), atol=1e-6)
    signs = np.sign((components * estimator.components_).sum(1, keepdims=True))
    np.testing.assert_allclose(components * signs, estimator.components_, atol=1e-5)
    outputs = model(data.whole("test").inputs).numpy() * signs.T
    np.testing.assert_allclose(outputs, estimator.transform(arrays(data, "test")[0]), atol=1e-4)
    np.testing.assert_allclose(model.variances[:count], estimator.explained_variance_, rtol=1e-4)


def test_all_components_reconstruct_the_inputs() -> None:
    data = Wine().prepare()
    model, batch = fitted(PCA, data, components=13), data.whole("test")
    torch.testing.assert_close(model.reconstruct(model(batch.inputs)), batch.inputs, atol=1e-5, rtol=0)


def test_explained_variance_is_that_of_scikit_learn(run_in_process) -> None:
    result = run_in_process("train.py", "model=pca", "data=digits", "model.components=10")
    assert result.status == 0, result.err
    data = Digits().prepare()
    estimator, (points, _) = Estimator(10).fit(arrays(data, "train")[0]), arrays(data, "test")
    residual = points - estimator.inverse_transform(estimator.transform(points))
    expected = 1 - (residual**2).sum() / ((points - estimator.mean_) ** 2).sum()
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test/explained_variance"] == pytest.approx(expected, abs=1e-4)
    assert {"scree.png", "components.png"} <= {file.name for file in (result.folder / "pictures").iterdir()}
    predictions = primer.load(result.folder).predict(np.zeros((2, 8, 8), dtype=np.uint8))
    assert predictions.values is not None
    assert predictions.values.shape == (2, 10)


def test_too_many_components_are_rejected() -> None:
    with pytest.raises(InputError, match=r"model\.components=14: the inputs have only 13 features"):
        PCA(Wine().prepare().spec, components=14)
    with pytest.raises(InputError, match=r"model\.components=12: the training part has only 10 samples"):
        fitted(PCA, Wine(train_size=10).prepare(), components=12)
