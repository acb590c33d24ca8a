"""The base of every objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn
from torchmetrics import MetricCollection

from primer.errors import InputError
from primer.spec import Target


class Objective(nn.Module, ABC):
    """A loss, the predictions that follow from a model's outputs, and the metrics that judge them.

    It names the target types that it suits as ``targets``.

    Args:
        target: what is to be predicted.

    Raises:
        ValueError: where the objective does not suit the target.
    """

    targets: ClassVar[Any]

    def __init__(self, target: Target) -> None:
        super().__init__()
        if not isinstance(target, self.targets):
            raise InputError(f"{type(self).__name__} does not suit targets of type {type(target).__name__}")
        self.target = target

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a model puts out for each sample, or for each step of a sequence."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        """The mean loss, and the number of targets that it is the mean of."""

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Predictions in the form of the targets."""

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics, which take what ``predict`` gives and the targets. One that does not give a number under its
        own name says in ``scalar_names`` which numbers it gives, if any."""

    def scalar_names(self) -> list[str]:
        """The names of the numbers that the metrics give."""
        return [
            figure for name, metric in self.metrics().items() for figure in getattr(metric, "scalar_names", (name,))
        ]

    def directions(self) -> dict[str, bool | None]:
        """Whether more of each of these numbers is better; None if neither is."""
        return {
            name: metric.higher_is_better
            for key, metric in self.metrics().items()
            for name in getattr(metric, "scalar_names", (key,))
        }

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments besides ``target``, as plain values, for the checkpoint."""
        return {}
