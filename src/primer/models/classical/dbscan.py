"""Density-based clustering."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.classical.arrays import distances, to_array, to_buffer
from primer.models.classical.unsupervised import Clustering, sample
from primer.models.layers.validation import check_positive, check_sizes
from primer.objectives import Objective
from primer.reports.classical import draw_k_distances
from primer.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = 5000
"""The maximum number of training samples that the curve of distances is drawn for."""

ROWS = 500
"""Number of samples whose distances to all others are in memory at a time."""


class DBSCAN(Clustering):
    """DBSCAN (Ester et al. 1996): clusters are regions with many samples, of any shape; samples outside of them are
    noise. A core sample has at least ``min_samples`` samples, itself included, within ``eps``; core samples within
    ``eps`` of each other share a cluster.

    A new sample belongs to the cluster of the nearest core sample if it is within ``eps`` of it. The last output is
    that of noise. The loss is the mean distance to the nearest core sample.

    Args:
        spec: description of the data set.
        eps: the radius, in standardized inputs; the picture of distances shows a good one at its bend.
        min_samples: the number of samples within the radius.
        objective: ignored.

    Raises:
        InputError: if a setting is out of range, or no sample is a core sample.
    """

    fitted = (*Clustering.fitted, "cores", "core_clusters", "k_distances")
    cores: Tensor
    core_clusters: Tensor
    k_distances: Tensor

    def __init__(self, spec: Spec, eps: float = 0.5, min_samples: int = 5, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        check_positive(eps=eps)
        check_sizes(min_samples=min_samples)
        self.eps, self.min_samples = eps, min_samples
        self.register_buffer("cores", torch.zeros(0, self.features))
        self.register_buffer("core_clusters", torch.zeros(0, dtype=torch.long))
        self.register_buffer("k_distances", torch.zeros(0))

    def fit_points(self, points: Tensor) -> None:
        from sklearn.cluster import DBSCAN as Estimator  # noqa: N811

        some = sample(points, SAMPLES)
        count = min(self.min_samples, len(points))
        nearest = torch.cat([distances(rows, points).kthvalue(count).values for rows in some.split(ROWS)])
        self.k_distances = to_buffer(nearest.sort(descending=True).values, points)
        result = Estimator(eps=self.eps, min_samples=self.min_samples).fit(to_array(points))
        rows = torch.from_numpy(result.core_sample_indices_).to(points.device)
        if not len(rows):
            raise InputError(
                f"model.eps={self.eps}: no training sample has {self.min_samples} samples within this distance; the "
                f"median distance to the farthest of so many is {nearest.median().item():.3g}"
            )
        self.cores = points[rows].clone()
        self.core_clusters = to_buffer(result.labels_, points)[rows]

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch clusters"]:  # type: ignore[override]
        apart = distances(inputs.flatten(1), self.cores)
        nearest = apart.new_full((len(apart), self.cluster_count()), self.eps)
        columns = self.core_clusters.expand(len(apart), -1)
        nearest[:, :-1] = nearest[:, :-1].scatter_reduce(1, columns, apart, "amin", include_self=False)
        return -nearest.float()

    def step(self, batch: Batch) -> Step:
        outputs = self(batch.inputs)
        return self.judge(-outputs[:, :-1].amax(1).mean(), batch, outputs)

    def cluster_count(self) -> int:
        return int(self.core_clusters.max()) + 2 if len(self.core_clusters) else 1

    def cluster_names(self) -> tuple[str, ...]:
        return (*super().cluster_names()[:-1], "noise")

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        curve = {"k_distances": lambda: draw_k_distances(self.k_distances, self.min_samples, self.eps)}
        return super().pictures() | curve
