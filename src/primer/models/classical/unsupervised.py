"""Base classes of classical algorithms that learn without labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from primer.batch import Batch
from primer.models.base import SinglePass, Stage, Step
from primer.objectives import ClusterScores, Objective
from primer.reports.classical import draw_clusters
from primer.spec import Classes, Image, NoTarget, Spec, Vector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 1000
"""The maximum number of training samples that are kept for a picture of the clusters."""


class Unsupervised(SinglePass):
    """Base class of classical algorithms that ignore targets, for vectors and images, which are flattened.

    Args:
        spec: description of the data set.
        objective: loss and metrics.
    """

    inputs = Vector | Image
    targets = NoTarget

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Vector | Image)
        self.features = spec.input.size
        self._score = torch.zeros(2)

    @abstractmethod
    def fit_points(self, points: Tensor) -> None:
        """Fills the buffers from ``(samples, features)`` standardized inputs."""

    def fit(self, train: Batch) -> None:
        self.fit_points(train.inputs.flatten(1))

    def add_score(self, total: Tensor, count: int) -> None:
        """Adds the sum of a score over ``count`` samples to the mean over the stage."""
        self._score = self._score.to(total.device) + torch.stack([total.float(), total.new_full((), count).float()])

    def mean_score(self) -> Tensor | None:
        """Returns the mean score of the stage, over all processes; None if there were no samples."""
        reduced = self.trainer.strategy.reduce(self._score.to(self.device), reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced[0] / reduced[1] if reduced[1] else None

    def _start_stage(self, stage: Stage) -> None:
        super()._start_stage(stage)
        self._score = torch.zeros(2, device=self.device)


class Clustering(Unsupervised):
    """Base class of clusterings. ``forward`` returns a score for each cluster, the highest of which is predicted.

    Args:
        spec: description of the data set.
        objective: ignored: a clustering is judged by ``ClusterScores``.
    """

    fitted = ("basis", "shown", "shown_clusters")
    basis: Tensor
    shown: Tensor
    shown_clusters: Tensor

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, ClusterScores(spec.target))
        self.register_buffer("basis", torch.zeros(0, self.features))
        self.register_buffer("shown", torch.zeros(0, 2))
        self.register_buffer("shown_clusters", torch.zeros(0, dtype=torch.long))

    def cluster_names(self) -> tuple[str, ...]:
        """Returns the name of each cluster, in the order of the outputs."""
        return tuple(f"cluster {k + 1}" for k in range(self.cluster_count()))

    @abstractmethod
    def cluster_count(self) -> int:
        """Returns the number of outputs."""

    def cluster_centers(self) -> Tensor | None:
        """Returns the centers to draw, ``(clusters, features)``; None if clusters do not have one."""
        return None

    @property
    def predicted(self) -> Spec:
        return Spec(self.spec.input, Classes(self.cluster_names()))

    def judge(self, loss: Tensor, batch: Batch, outputs: Tensor) -> Step:
        """Returns a step. Without targets, the clusters take their place, since metrics are not computed of nothing."""
        return Step(loss, batch.size, outputs, outputs.argmax(1) if batch.targets is None else None)

    def fit(self, train: Batch) -> None:
        super().fit(train)
        points = train.inputs.flatten(1)
        some = sample(points, SHOWN)
        self.shown_clusters = self(some).argmax(1)
        self.basis = plane_of(some)
        self.shown = some @ self.basis.T

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        centers = self.cluster_centers()
        projected = None if centers is None else centers @ self.basis.T
        labels = ("first component", "second component")
        if isinstance(self.spec.input, Vector) and len(self.spec.input.names) == 2:
            first, second = self.spec.input.names
            labels = f"{first}, standardized", f"{second}, standardized"
        return super().pictures() | {
            "clusters": lambda: draw_clusters(self.shown, self.shown_clusters, self.cluster_names(), projected, labels)
        }


def plane_of(points: Tensor) -> Tensor:
    """Returns the directions of the first two principal components, ``(2, features)``; for two features, the features
    themselves."""
    features = points.shape[1]
    if features <= 2:
        return torch.eye(2, features, dtype=points.dtype, device=points.device)
    directions = torch.linalg.svd(points - points.mean(0), full_matrices=False).Vh[:2]
    return torch.cat([directions, directions.new_zeros(2 - len(directions), features)])


def sample(points: Tensor, most: int) -> Tensor:
    """Returns at most that many of the points, drawn at random."""
    return points if len(points) <= most else points[torch.randperm(len(points))[:most].to(points.device)]
