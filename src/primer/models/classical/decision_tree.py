"""A decision tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from primer.models.classical.arrays import draw_seed
from primer.models.classical.trees import Trees
from primer.models.layers.validation import check_not_negative, check_sizes
from primer.objectives import Objective
from primer.reports.trees import Node, draw_tree
from primer.spec import Classes, Spec, Values, Vector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 4
"""The number of levels of a tree that are drawn."""


class DecisionTree(Trees):
    """A classification or regression tree (CART; Breiman, Friedman, Olshen and Stone 1984). Each split lowers the Gini
    impurity, or the squared error, the most.

    Args:
        spec: description of the data set.
        max_depth: maximum depth; None for no limit.
        min_samples_leaf: minimum number of training samples in a leaf.
        pruning: minimal cost-complexity pruning: a branch is cut if it lowers the impurity by less than this for each
            of its leaves. 0 for none.
        objective: loss and metrics; by default chosen from the target type.
    """

    def __init__(
        self,
        spec: Spec,
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        pruning: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(max_depth=1 if max_depth is None else max_depth, min_samples_leaf=min_samples_leaf)
        check_not_negative(pruning=pruning)
        self.max_depth, self.min_samples_leaf, self.pruning = max_depth, min_samples_leaf, pruning

    def estimator(self) -> Any:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        kind = DecisionTreeClassifier if self.is_classifier else DecisionTreeRegressor
        return kind(
            max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf,
            ccp_alpha=self.pruning,
            random_state=draw_seed(),
        )

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        return {"tree": lambda: draw_tree(self.node(0, 0))}

    def node(self, number: int, depth: int) -> Node:
        """Returns a node and the nodes below it, with the conditions in the unit of the data."""
        left, right = int(self.left[0, number]), int(self.right[0, number])
        values = self.values[0, number]
        target, kind = self.spec.target, self.spec.input
        count = f"{int(self.samples[0, number]):,} samples"
        if isinstance(target, Classes):
            best = int(values.argmax())
            answer, strength = f"{target.names[best]} {values[best]:.0%}", values[best].item()
        else:
            assert isinstance(target, Values)
            best, strength = 0, 1.0
            answer = f"{self.objective.predict(values[None])[0, 0].item():.4g}"
        if left == number:
            return Node("", answer, count, best, strength)
        feature, threshold = int(self.feature[0, number]), self.threshold[0, number].item()
        name = f"input {feature + 1}"
        if isinstance(kind, Vector):
            mean, std = kind.mean or (0.0,) * kind.features, kind.std or (1.0,) * kind.features
            threshold = threshold * std[feature] + mean[feature]
            name = kind.names[feature] if kind.names else name
        condition = f"{name} ≤ {threshold:.4g}"
        below = [self.node(child, depth + 1) for child in (left, right)] if depth < SHOWN else []
        return Node(condition, answer, count, best, strength, below)
