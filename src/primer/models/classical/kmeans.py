"""k-means clustering."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.classical.arrays import distances, draw_seed, to_array, to_buffer
from primer.models.classical.unsupervised import Clustering, sample
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.reports.classical import draw_elbow
from primer.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST, SAMPLES, STARTS = 10, 5000, 3
"""The elbow is drawn up to at least this number of clusters, from at most this number of training samples and of
initializations."""


class KMeans(Clustering):
    """k-means (Lloyd 1982), started by k-means++ (Arthur and Vassilvitskii 2007). The loss is the inertia per sample:
    the mean squared distance to the nearest center.

    Args:
        spec: description of the data set.
        clusters: number of clusters.
        starts: number of initializations, of which the one with the lowest inertia is kept.
        iterations: maximum number of iterations.
        elbow: whether to fit other numbers of clusters, too, for a picture of the inertia over the number of clusters.
        objective: ignored.

    Raises:
        InputError: if there are fewer training samples than clusters.
    """

    fitted = (*Clustering.fitted, "inertias")
    centers: Tensor
    inertias: Tensor

    def __init__(
        self,
        spec: Spec,
        clusters: int = 10,
        starts: int = 10,
        iterations: int = 300,
        elbow: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(clusters=clusters, starts=starts, iterations=iterations)
        self.clusters, self.starts, self.iterations, self.elbow = clusters, starts, iterations, elbow
        self.register_buffer("centers", torch.zeros(clusters, self.features))
        self.register_buffer("inertias", torch.zeros(0))

    def fit_points(self, points: Tensor) -> None:
        if len(points) < self.clusters:
            raise InputError(f"model.clusters={self.clusters}: the training part has only {len(points)} samples")
        result = self._run(points, self.clusters, self.starts)
        self.centers.copy_(to_buffer(result.cluster_centers_, points))
        if self.elbow:
            some = sample(points, SAMPLES)
            most = min(max(LARGEST, 2 * self.clusters), len(some))
            starts = min(STARTS, self.starts)
            inertias = [self._run(some, k, starts).inertia_ / len(some) for k in range(1, most + 1)]
            self.inertias = to_buffer(inertias, points)

    def _run(self, points: Tensor, clusters: int, starts: int) -> Any:
        from sklearn.cluster import KMeans as Estimator

        settings: dict[str, Any] = {"n_init": starts, "max_iter": self.iterations, "random_state": draw_seed()}
        return Estimator(clusters, **settings).fit(to_array(points))

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch clusters"]:  # type: ignore[override]
        return -distances(inputs.flatten(1), self.centers).float()

    def step(self, batch: Batch) -> Step:
        outputs = self(batch.inputs)
        return self.judge(outputs.amax(1).square().mean(), batch, outputs)

    def cluster_count(self) -> int:
        return self.clusters

    def cluster_centers(self) -> Tensor:
        return self.centers

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        elbow = {"elbow": lambda: draw_elbow(self.inertias, self.clusters)} if len(self.inertias) else {}
        return super().pictures() | elbow
