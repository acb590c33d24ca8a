"""Base class of classical classifiers and regressors."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import SinglePass
from primer.objectives import Objective
from primer.objectives.regression import Regression
from primer.spec import Classes, Image, Spec, Values, Vector

SMALLEST = 1e-8
"""Lower probabilities are raised to this one, so that the loss stays finite where a model rules out the true class."""


class Supervised(SinglePass):
    """Base class of classical classifiers and regressors, for vectors and images, which are flattened.

    A subclass fits its buffers in ``fit_points`` and predicts from them in ``estimate``. The objective provides the
    metrics and the reported loss, but a model is fitted by its own criterion.

    Args:
        spec: description of the data set.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if the objective needs other outputs than one per class or value.
    """

    inputs = Vector | Image
    targets = Classes | Values

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Vector | Image)
        assert isinstance(spec.target, Classes | Values)
        self.features, self.estimates = spec.input.size, len(spec.target.names)
        self.is_classifier = isinstance(spec.target, Classes)
        if not self.is_classifier and self.outputs != self.estimates:
            raise InputError(f"{type(self.objective).__name__} needs more than one output per value: use objective=mse")

    @abstractmethod
    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        """Fills the buffers.

        Args:
            points: ``(samples, features)`` standardized inputs.
            targets: ``(samples,)`` classes, or ``(samples, values)`` standardized values.
        """

    @abstractmethod
    def estimate(self, points: Tensor) -> Tensor:
        """Returns the probability of each class, or standardized values, ``(samples, classes or values)``."""

    def fit(self, train: Batch) -> None:
        assert train.targets is not None
        targets = train.targets
        if isinstance(self.objective, Regression):
            targets = (targets - self.objective.mean) / self.objective.std
        self.fit_points(train.inputs.flatten(1), targets)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        estimates = self.estimate(inputs.flatten(1))
        if not self.is_classifier:
            return estimates.float()
        logs = estimates.clamp(min=SMALLEST).log()
        if self.outputs == self.estimates:
            return logs.float()
        return (logs[:, 1:] - logs[:, :1]).float()  # The log-odds, for binary cross-entropy.


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Returns 1 at each class and 0 elsewhere, ``(..., count)``."""
    return torch.nn.functional.one_hot(classes, count)
