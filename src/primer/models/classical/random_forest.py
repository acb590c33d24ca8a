"""A random forest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from primer.models.classical.arrays import draw_seed, to_buffer
from primer.models.classical.trees import Trees
from primer.models.layers.validation import check_choice, check_sizes
from primer.objectives import Objective
from primer.reports.trees import draw_importances
from primer.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RandomForest(Trees):
    """A random forest (Breiman 2001): the mean of many trees, each fitted to a bootstrap sample, with a random choice
    of features at each split.

    Args:
        spec: description of the data set.
        trees: number of trees.
        max_depth: maximum depth; None for no limit.
        min_samples_leaf: minimum number of training samples in a leaf.
        max_features: number of features to choose from at each split: ``sqrt`` or ``log2`` of all, or ``all``.
        objective: loss and metrics; by default chosen from the target type.
    """

    fitted = (*Trees.fitted, "importances")
    importances: Tensor

    def __init__(
        self,
        spec: Spec,
        trees: int = 100,
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_features: Literal["sqrt", "log2", "all"] = "sqrt",
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(trees=trees, max_depth=1 if max_depth is None else max_depth, min_samples_leaf=min_samples_leaf)
        check_choice("max_features", max_features, ("sqrt", "log2", "all"))
        self.trees, self.max_depth, self.min_samples_leaf = trees, max_depth, min_samples_leaf
        self.max_features = max_features
        self.register_buffer("importances", torch.zeros(self.features))

    def estimator(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestClassifier if self.is_classifier else RandomForestRegressor
        settings: dict[str, Any] = {"max_features": None if self.max_features == "all" else self.max_features}
        settings |= {"max_depth": self.max_depth, "min_samples_leaf": self.min_samples_leaf}
        return kind(self.trees, random_state=draw_seed(), **settings)

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        estimator = self.fit_estimator(points, targets)
        self.keep(estimator, points.device)
        self.importances = to_buffer(estimator.feature_importances_, points)

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        names = [str(name) for name in getattr(self.spec.input, "names", ())]
        names = names or [f"input {k + 1}" for k in range(self.features)]
        return {"importances": lambda: draw_importances(self.importances, names)}
