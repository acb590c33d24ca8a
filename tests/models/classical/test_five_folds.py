"""On the same five folds, classifiers are as accurate as those of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.classical import fold_accuracies
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from primer.data.images.digits import Digits
from primer.data.tables.csv_table import CSVTable
from primer.data.tables.tables import BreastCancer, Iris, Wine
from primer.models.base import SinglePass
from primer.models.classical.decision_tree import DecisionTree
from primer.models.classical.gaussian_naive_bayes import GaussianNaiveBayes
from primer.models.classical.knn import KNN
from primer.models.classical.random_forest import RandomForest
from primer.models.classical.svm import SVM

SEED = int(torch.randint(2**31 - 1, (), generator=torch.Generator().manual_seed(0)))
"""The seed that a fitted model draws for scikit-learn."""

PAIRS: list[tuple[type[SinglePass], Any]] = [
    (KNN, KNeighborsClassifier),
    (GaussianNaiveBayes, GaussianNB),
    (DecisionTree, partial(DecisionTreeClassifier, random_state=SEED)),
    (RandomForest, partial(RandomForestClassifier, random_state=SEED)),
    (SVM, SVC),
]


def check(kind: type[SinglePass], data: Any, estimator: Any, name: str, record_figure: Callable[[str], None]) -> None:
    ours, theirs = fold_accuracies(kind, data, estimator).tolist()
    record_figure(f"{kind.__name__}, 5 folds of {name}: accuracy {ours:.4f}, scikit-learn {theirs:.4f}")
    assert abs(ours - theirs) <= 0.005


@pytest.mark.parametrize("data", [Iris, Wine])
@pytest.mark.parametrize(("kind", "estimator"), [pair for pair in PAIRS if pair[0] is not RandomForest])
def test_small_tables(kind, estimator, data, record_figure) -> None:
    check(kind, data, estimator, data.__name__, record_figure)


@pytest.mark.slow
@pytest.mark.parametrize("data", [BreastCancer, Digits])
@pytest.mark.parametrize(("kind", "estimator"), PAIRS)
def test_larger_data(kind, estimator, data, record_figure) -> None:
    check(kind, data, estimator, data.__name__, record_figure)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "estimator"), PAIRS)
def test_spam(kind, estimator, data_dir_or_skip: Callable[[str], Path], record_figure) -> None:
    data = partial(CSVTable, data_dir_or_skip("spam/spambase.csv"), target="type")
    check(kind, data, estimator, "Spambase", record_figure)
