"""A mixture of normal distributions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Stage, Step
from primer.models.classical.arrays import draw_seed, precise, to_array, to_buffer
from primer.models.classical.unsupervised import Clustering
from primer.models.layers.validation import check_choice, check_positive, check_sizes
from primer.objectives import Objective
from primer.spec import Spec

Covariance = Literal["full", "tied", "diag", "spherical"]


class GaussianMixture(Clustering):
    r"""A mixture of normal distributions, :math:`p(x) = \sum_k \pi_k\, \mathcal{N}(x; \mu_k, \Sigma_k)`, fitted by
    expectation maximization (Dempster, Laird and Rubin 1977) from the clusters of k-means. Outputs are the logarithms
    of the terms. The loss is the mean negative log-likelihood.

    Args:
        spec: description of the data set.
        clusters: number of distributions.
        covariance: ``full``: each has its own; ``tied``: all share one; ``diag``: independent features; ``spherical``:
            one variance each.
        starts: number of initializations, of which the one with the highest likelihood is kept.
        iterations: maximum number of iterations.
        smoothing: added to all variances, so that none is zero.
        objective: ignored.

    Raises:
        InputError: if a setting is out of range, or there are fewer training samples than clusters.
    """

    logged_metrics = ("val/log_likelihood", "test/log_likelihood")
    means: Tensor
    whitening: Tensor
    log_weights: Tensor

    def __init__(
        self,
        spec: Spec,
        clusters: int = 10,
        covariance: Covariance = "full",
        starts: int = 1,
        iterations: int = 100,
        smoothing: float = 1e-6,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(clusters=clusters, starts=starts, iterations=iterations)
        check_positive(smoothing=smoothing)
        check_choice("covariance", covariance, ("full", "tied", "diag", "spherical"))
        self.clusters, self.covariance, self.starts = clusters, covariance, starts
        self.iterations, self.smoothing = iterations, smoothing
        self.register_buffer("means", torch.zeros(clusters, self.features))
        # Factors of the inverse covariances: triangular matrices, or their diagonals; one for all if they are tied.
        has_rows = covariance in ("diag", "spherical")
        shape = (1 if covariance == "tied" else clusters, *([self.features] * (1 if has_rows else 2)))
        self.register_buffer("whitening", torch.zeros(shape))
        self.register_buffer("log_weights", torch.zeros(clusters))

    def fit_points(self, points: Tensor) -> None:
        from sklearn.mixture import GaussianMixture as Estimator

        if len(points) < self.clusters:
            raise InputError(f"model.clusters={self.clusters}: the training part has only {len(points)} samples")
        estimator = Estimator(
            self.clusters,
            covariance_type=self.covariance,
            n_init=self.starts,
            max_iter=self.iterations,
            reg_covar=self.smoothing,
            random_state=draw_seed(),
        )
        try:
            result = estimator.fit(to_array(points))
        except ValueError as error:
            raise InputError(
                f"model.smoothing={self.smoothing}: a cluster has no extent in some direction; raise it, or lower "
                "model.clusters"
            ) from error
        self.means.copy_(to_buffer(result.means_, points))
        self.log_weights.copy_(to_buffer(result.weights_, points).log())
        factors = to_buffer(result.precisions_cholesky_, points)
        self.whitening.copy_(factors[:, None] if self.covariance == "spherical" else factors)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch clusters"]:  # type: ignore[override]
        points, means, whitening = (precise(values) for values in (inputs.flatten(1), self.means, self.whitening))
        if whitening.ndim == 2:
            squares = [((points - m) * w).square().sum(1) for m, w in zip(means, whitening, strict=True)]
            log_determinants = whitening.log().sum(1)
        else:
            factors = whitening.expand(self.clusters, -1, -1)
            squares = [((points - m) @ w).square().sum(1) for m, w in zip(means, factors, strict=True)]
            log_determinants = whitening.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = log_determinants - 0.5 * self.features * math.log(2 * math.pi)
        return (constant + self.log_weights - 0.5 * torch.stack(squares, 1)).float()

    def step(self, batch: Batch) -> Step:
        outputs = self(batch.inputs)
        return self.judge(-outputs.logsumexp(1).mean(), batch, outputs)

    def cluster_count(self) -> int:
        return self.clusters

    def cluster_centers(self) -> Tensor:
        return self.means

    def _finish_stage(self, stage: Stage) -> None:
        loss = self.evaluation.mean_loss(stage, self.trainer.strategy)
        if loss is not None:
            self.log(f"{stage}/log_likelihood", -loss)
        super()._finish_stage(stage)
