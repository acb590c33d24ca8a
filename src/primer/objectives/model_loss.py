"""Objective of models that compute their own loss."""

from __future__ import annotations

from torch import Tensor
from torchmetrics import MetricCollection

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.spec import Target


class ModelLoss(Objective):
    """Leaves the loss to the model's ``step``, for data without targets and for models that ignore them. It does not
    have metrics.

    Args:
        target: target of any type.
    """

    targets = Target

    @property
    def outputs(self) -> int:
        raise InputError("self.outputs is undefined without targets: the model must set the size of its outputs itself")

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        raise InputError("there is no target to compute a loss from: the model must override step")

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs

    def metrics(self) -> MetricCollection:
        return MetricCollection({})
