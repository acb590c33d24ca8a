"""Decision trees as tensors, alone or in a forest."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.models.classical.arrays import precise, to_array
from primer.models.classical.supervised import Supervised
from primer.objectives import Objective
from primer.spec import Spec


class Trees(Supervised):
    """Base class of one or more decision trees, whose predictions are averaged.

    Trees are fitted by scikit-learn and kept as tensors ``(trees, nodes)``: the feature that a node compares with its
    threshold, the next nodes if it is not larger (left) or larger (right), and the probabilities or values of each
    node. A leaf is followed by itself. ``levels`` is the number of nodes at each depth below the root.

    Args:
        spec: description of the data set.
        objective: loss and metrics; by default chosen from the target type.
    """

    fitted = ("feature", "threshold", "left", "right", "values", "samples", "levels")
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    values: Tensor
    samples: Tensor
    levels: Tensor

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        for name in ("feature", "left", "right", "samples"):
            self.register_buffer(name, torch.zeros(0, 0, dtype=torch.long))
        self.register_buffer("threshold", torch.zeros(0, 0))
        self.register_buffer("values", torch.zeros(0, 0, self.estimates))
        self.register_buffer("levels", torch.zeros(0, dtype=torch.long))

    @abstractmethod
    def estimator(self) -> Any:
        """Returns a tree or a forest of scikit-learn, not fitted yet."""

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        self.keep(self.fit_estimator(points, targets), points.device)

    def fit_estimator(self, points: Tensor, targets: Tensor) -> Any:
        """Returns the estimator, fitted."""
        y = targets.cpu().numpy() if self.is_classifier else to_array(targets)
        return self.estimator().fit(to_array(points), y[:, 0] if y.shape[1:] == (1,) else y)

    def keep(self, estimator: Any, device: torch.device) -> None:
        """Fills the buffers from a fitted estimator."""
        trees = [one.tree_ for one in getattr(estimator, "estimators_", [estimator])]
        classes = estimator.classes_ if self.is_classifier else np.arange(self.estimates)
        nodes = max(tree.node_count for tree in trees)
        arrays = {name: np.zeros((len(trees), nodes), dtype=np.int64) for name in ("feature", "left", "right")}
        samples, threshold = np.zeros((len(trees), nodes), dtype=np.int64), np.zeros((len(trees), nodes), np.float32)
        values = np.zeros((len(trees), nodes, self.estimates), dtype=np.float32)
        for k, tree in enumerate(trees):
            own, count = np.arange(tree.node_count), tree.node_count
            is_leaf = tree.children_left < 0
            arrays["feature"][k, :count] = np.where(is_leaf, 0, tree.feature)
            arrays["left"][k, :count] = np.where(is_leaf, own, tree.children_left)
            arrays["right"][k, :count] = np.where(is_leaf, own, tree.children_right)
            threshold[k, :count], samples[k, :count] = round_down(tree.threshold), tree.n_node_samples
            values[k, :count, classes] = (tree.value[:, 0] if self.is_classifier else tree.value[:, :, 0]).T
        for name, array in (arrays | {"threshold": threshold, "samples": samples, "values": values}).items():
            setattr(self, name, torch.from_numpy(array).to(device))
        self.levels = torch.tensor(count_levels(trees)[1:], dtype=torch.long, device=device)

    def estimate(self, points: Tensor) -> Tensor:
        points = points.float()
        trees = torch.arange(len(self.feature), device=points.device)
        node = torch.zeros(points.shape[0], len(trees), dtype=torch.long, device=points.device)
        for _ in range(len(self.levels)):
            is_left = points.gather(1, self.feature[trees, node]) <= self.threshold[trees, node]
            node = torch.where(is_left, self.left[trees, node], self.right[trees, node])
        return precise(self.values[trees, node]).mean(1)


def round_down(values: np.ndarray) -> np.ndarray:
    """Returns the largest numbers in single precision that are not larger than given ones, so that a number in single
    precision is not larger than the result exactly if it is not larger than the value."""
    single = values.astype(np.float32)
    return np.where(single > values, np.nextafter(single, np.float32(-np.inf)), single)


def count_levels(trees: list[Any]) -> list[int]:
    """Returns the number of nodes of all trees at each depth, from the roots."""
    counts: list[int] = []
    for tree in trees:
        nodes, depth = np.array([0]), 0
        while len(nodes):
            counts += [0] * (depth + 1 - len(counts))
            counts[depth] += len(nodes)
            nodes = np.concatenate([tree.children_left[nodes], tree.children_right[nodes]])
            nodes, depth = nodes[nodes >= 0], depth + 1
    return counts
