"""Fits classical models to data sets, with a trainer or without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.tables.tables import Table
from primer.models.base import SinglePass
from primer.spec import Classes, Spec, Vector


def fitted(kind: type[SinglePass], data: DataModule, **settings: Any) -> Any:
    """Returns a model that is fitted to the training part of prepared data, in evaluation mode."""
    torch.manual_seed(0)
    model = kind(data.spec, **settings)
    with torch.no_grad():
        model.fit(data.whole("train"))
    return model.eval()


def arrays(data: DataModule, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the standardized inputs of a part as vectors in double precision, and its targets."""
    batch = data.whole(part)  # type: ignore[arg-type]
    assert batch.targets is not None
    return batch.inputs.flatten(1).double().numpy(), batch.targets.numpy()


def whole_table(kind: type[Table]) -> tuple[Spec, Batch]:
    """Returns all samples of a table of scikit-learn with classes, standardized, and their spec."""
    table, targets = kind().load(), Classes(kind.names)
    points = (table.data - table.data.mean(0)) / table.data.std(0)
    batch = Batch(torch.from_numpy(points).float(), torch.from_numpy(table.target).long())
    return Spec(Vector(points.shape[1]), targets), batch


def probabilities(model: Any, batch: Batch) -> Tensor:
    """Returns the probability of each class."""
    with torch.no_grad():
        return model.objective.log_probabilities(model(batch.inputs)).exp()


def standardized(model: Any, data: DataModule) -> np.ndarray:
    """Returns the standardized targets of the training part."""
    targets = data.whole("train").targets
    assert targets is not None
    return ((targets - model.objective.mean) / model.objective.std).double().numpy()


def fold_accuracies(
    kind: type[SinglePass], data: Callable[..., DataModule], estimator: Callable[[], Any], **settings: Any
) -> Tensor:
    """Returns the mean accuracy over five folds of a model, and of an estimator of scikit-learn on the same folds."""
    rows = []
    for fold in range(5):
        part = data(folds=5, fold=fold, val_fraction=0).prepare()
        model, (points, targets) = fitted(kind, part, **settings), arrays(part, "test")
        with torch.no_grad():
            predicted = model.predict_batch(part.whole("test")).numpy()
        expected = estimator().fit(*arrays(part, "train")).predict(points)
        rows.append([np.mean(predicted == targets), np.mean(expected == targets)])
    return torch.tensor(rows).mean(0)
