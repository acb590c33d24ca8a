"""Base class for objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn
from torchmetrics import MetricCollection

from primer.errors import InputError
from primer.spec import Target


class Objective(nn.Module, ABC):
    """A loss, a mapping from model outputs to predictions, and the metrics that evaluate those predictions.

    Subclasses list the target types they support in ``targets``.

    Args:
        target: the target specification.

    Raises:
        InputError: if the objective does not support the target.
    """

    targets: ClassVar[Any]

    def __init__(self, target: Target) -> None:
        super().__init__()
        if not isinstance(target, self.targets):
            raise InputError(f"{type(self).__name__} does not support targets of type {type(target).__name__}")
        self.target = target

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The number of model outputs per sample, or per time step for sequences."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        """Returns the mean loss and the number of targets it is averaged over."""

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Converts model outputs to predictions in the same format as the targets."""

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Returns new metrics, updated with the output of ``predict`` and the targets.

        A metric that does not return a scalar under its own name lists the scalars it returns, if any, in
        ``scalar_names``. All of them share the metric's ``higher_is_better``.
        """

    def tune(self, metrics: MetricCollection) -> None:
        """Called when a validation pass ends, before its metrics are computed: an objective may choose a setting that
        it predicts with. Does nothing by default."""

    def scalar_names(self) -> list[str]:
        """Returns the names of the scalars that the metrics compute."""
        return [
            scalar for name, metric in self.metrics().items() for scalar in getattr(metric, "scalar_names", (name,))
        ]

    def directions(self) -> dict[str, bool | None]:
        """Whether more of each of these numbers is better; None if neither is."""
        return {
            name: metric.higher_is_better
            for key, metric in self.metrics().items()
            for name in getattr(metric, "scalar_names", (key,))
        }

    def settings(self) -> dict[str, Any]:
        """Returns the constructor arguments other than ``target`` as plain values, to be stored in checkpoints."""
        return {}
