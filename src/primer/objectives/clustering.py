"""Scores of clusterings. Labels are only used to judge them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.clustering import AdjustedRandScore, NormalizedMutualInfoScore
from torchmetrics.utilities import dim_zero_cat

from primer.objectives.model_loss import ModelLoss
from primer.spec import Classes

SAMPLES = 2000
"""The maximum number of samples that the silhouette is computed from: its cost is quadratic."""


class Agreement(AdjustedRandScore):
    """The adjusted Rand index of clusters and classes (Hubert and Arabie 1985): 1 if they are the same, 0 for random
    clusters."""

    higher_is_better = True


class SharedInformation(NormalizedMutualInfoScore):
    """The mutual information of clusters and classes, relative to the mean of their entropies (Strehl and Ghosh
    2002)."""

    higher_is_better = True


class Silhouette(Metric):
    """The mean silhouette (Rousseeuw 1987): near 1 if samples are much closer to their own cluster than to the next
    one; 0 if there are fewer than two clusters. It does not need labels."""

    higher_is_better: bool | None = True
    points: Any
    clusters: Any

    def __init__(self) -> None:
        super().__init__()
        self.add_state("points", default=[], dist_reduce_fx="cat")
        self.add_state("clusters", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor, inputs: Tensor) -> None:
        self.points.append(inputs.flatten(1))
        self.clusters.append(predictions)

    def compute(self) -> Tensor:
        points, clusters = dim_zero_cat(self.points).cpu(), dim_zero_cat(self.clusters).cpu()
        rows = torch.linspace(0, len(points) - 1, min(SAMPLES, len(points))).long()  # The same in each pass.
        points, clusters = points[rows], clusters[rows]
        if not 1 < len(clusters.unique()) < len(clusters):
            return torch.zeros((), device=self.device)
        from sklearn.metrics import silhouette_score

        return torch.tensor(float(silhouette_score(points.float().numpy(), clusters.numpy())), device=self.device)


class ClusterScores(ModelLoss):
    """Metrics of a clustering, whose loss is the model's own: the silhouette and, if the data is labeled with classes,
    ``ari`` and ``nmi``, the agreement with them. Outputs are one score per cluster, ``(batch, clusters)``.

    Args:
        target: target of any type.
    """

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(1)

    def metrics(self) -> MetricCollection:
        metrics: dict[str, Metric] = {"silhouette": Silhouette()}
        if isinstance(self.target, Classes):
            metrics |= {"ari": Agreement(), "nmi": SharedInformation()}
        return MetricCollection(metrics, compute_groups=False)  # type: ignore[arg-type]
