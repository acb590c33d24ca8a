"""Decision trees and random forests predict from their tensors what scikit-learn predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, probabilities, standardized
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.data.tables.tables import BreastCancer, Diabetes, Wine
from primer.errors import InputError
from primer.models.classical.decision_tree import DecisionTree
from primer.models.classical.random_forest import RandomForest
from primer.models.classical.trees import round_down

PAIRS = [
    (DecisionTree, DecisionTreeClassifier, DecisionTreeRegressor, {}),
    (RandomForest, RandomForestClassifier, RandomForestRegressor, {"n_estimators": 20}),
]


SEED = int(torch.randint(2**31 - 1, (), generator=torch.Generator().manual_seed(0)))
"""The seed that a fitted model draws for scikit-learn."""


@pytest.mark.parametrize(("kind", "classifier", "regressor", "more"), PAIRS)
@pytest.mark.parametrize("data", [Wine, BreastCancer, Digits])
def test_classes_and_probabilities_equal_those_of_scikit_learn(kind, classifier, regressor, more, data) -> None:
    data = data().prepare()
    model = fitted(kind, data, min_samples_leaf=3, **({"trees": 20} if more else {}))
    estimator = classifier(min_samples_leaf=3, random_state=SEED, **more).fit(*arrays(data, "train"))
    points, batch = arrays(data, "test")[0], data.whole("test")
    np.testing.assert_allclose(probabilities(model, batch), estimator.predict_proba(points), atol=1e-6)
    assert np.array_equal(model.predict_batch(batch).numpy(), estimator.predict(points))


@pytest.mark.parametrize(("kind", "classifier", "regressor", "more"), PAIRS)
def test_values_equal_those_of_scikit_learn(kind, classifier, regressor, more) -> None:
    data = Diabetes().prepare()
    model = fitted(kind, data, max_depth=4, **({"trees": 20, "max_features": "all"} if more else {}))
    targets = standardized(model, data)[:, 0]
    estimator = regressor(max_depth=4, random_state=SEED, **more).fit(arrays(data, "train")[0], targets)
    outputs = model(data.whole("test").inputs)[:, 0]
    np.testing.assert_allclose(outputs, estimator.predict(arrays(data, "test")[0]), atol=1e-6)
    assert len(model.levels) == 4


def test_thresholds_are_rounded_so_that_comparisons_stay_the_same() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    single = values.astype(np.float32)
    neighbors = np.concatenate([single, np.nextafter(single, np.float32(9)), np.nextafter(single, np.float32(-9))])
    tripled = np.tile(values, 3)
    assert np.array_equal(neighbors <= round_down(tripled), neighbors.astype(np.float64) <= tripled)


def test_a_class_without_training_samples_is_never_predicted() -> None:
    spec, points = Wine().prepare().spec, torch.randn(40, 13, generator=torch.Generator().manual_seed(0))
    model = RandomForest(spec, trees=5)
    model.fit(Batch(points, 2 * (torch.arange(40) % 2)))
    assert set(model.predict_batch(Batch(points)).tolist()) == {0, 2}


def test_a_tree_of_one_leaf_predicts_the_most_frequent_class() -> None:
    data = Wine().prepare()
    model = fitted(DecisionTree, data, min_samples_leaf=100)
    assert len(model.levels) == 0
    assert model.predict_batch(data.whole("test")).unique().tolist() == [1]


@pytest.mark.parametrize(("model", "picture"), [("decision_tree", "tree"), ("random_forest", "importances")])
def test_a_run_draws_the_tree(model: str, picture: str, run_in_process) -> None:
    result = run_in_process("train.py", f"model={model}", "data=wine")
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    assert (result.folder / "pictures" / f"{picture}.png").stat().st_size > 1000


def test_the_drawn_conditions_are_in_the_unit_of_the_data() -> None:
    data = Wine().prepare()
    root = fitted(DecisionTree, data, max_depth=2).node(0, 0)
    name, threshold = root.condition.split(" ≤ ")
    column = data.parts["train"].inputs[:, data.spec.input.names.index(name)]  # type: ignore[union-attr]
    assert root.below[0].count == f"{(column <= float(threshold) * (1 + 1e-4)).sum()} samples"


def test_settings_out_of_range_are_rejected() -> None:
    spec = Wine().prepare().spec
    for kind, settings in (
        (DecisionTree, {"max_depth": 0}), (DecisionTree, {"pruning": -1.0}),
        (RandomForest, {"trees": 0}), (RandomForest, {"min_samples_leaf": 0}),
    ):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(settings))):
            kind(spec, **settings)
