"""Naive Bayes with normal distributions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from primer.models.classical.arrays import precise
from primer.models.classical.supervised import Supervised
from primer.objectives import Objective
from primer.spec import Classes, Spec

SMOOTHING = 1e-9
"""This fraction of the largest variance of a feature is added to all variances, so that none is zero."""


class GaussianNaiveBayes(Supervised):
    r"""Naive Bayes (Duda and Hart 1973): in each class the features are independent and normally distributed,
    :math:`p(c \mid x) \propto p(c) \prod_j \mathcal{N}(x_j; \mu_{cj}, \sigma_{cj}^2)`.

    Args:
        spec: description of the data set.
        objective: loss and metrics; by default chosen from the target type.
    """

    targets = Classes
    fitted = ()
    mean: Tensor
    variance: Tensor
    log_prior: Tensor

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        self.register_buffer("mean", torch.zeros(self.estimates, self.features))
        self.register_buffer("variance", torch.ones(self.estimates, self.features))
        self.register_buffer("log_prior", torch.zeros(self.estimates))

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        points = precise(points)
        counts = torch.bincount(targets, minlength=self.estimates)
        self.log_prior.copy_((counts / len(targets)).log())  # A class without samples is ruled out.
        smallest = (SMOOTHING * points.var(0, correction=0).max()).clamp(min=1e-30)
        for k in counts.nonzero().flatten().tolist():
            own = points[targets == k]
            self.mean[k] = own.mean(0)
            self.variance[k] = own.var(0, correction=0) + smallest

    def estimate(self, points: Tensor) -> Tensor:
        mean, variance = precise(self.mean), precise(self.variance)
        constant = variance.log().sum(1) + self.features * math.log(2 * math.pi)
        squares = [((precise(points) - m).square() / v).sum(1) for m, v in zip(mean, variance, strict=True)]
        return (self.log_prior - 0.5 * (torch.stack(squares, 1) + constant)).softmax(1)
