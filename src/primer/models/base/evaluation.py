"""Losses and metrics of a whole pass, independent of the batch size, padding and the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor
from torchmetrics import MetricCollection

from primer.batch import Batch
from primer.models.base.step import Step
from primer.objectives import Objective

Stage = Literal["train", "val", "test", "predict"]


class Evaluation:
    """Accumulates the loss and the metrics of each stage, without synchronizing with the device.

    Args:
        objective: provides the metrics.

    Attributes:
        stage: the evaluation pass that is running: ``val``, ``test`` or ``predict``; None during training and outside
            of a trainer.
        passes: number of evaluation passes started so far, so that a model can tell them apart.
        predictions: the predictions for the latest batch, if it has outputs and targets.
        arrays: for each stage, the metrics of the latest pass that are not scalars, such as the confusion matrix.
        sums: for each stage, the sum of the losses and the number of targets.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.stage: Stage | None = None
        self.passes = 0
        self.predictions: Tensor | None = None
        self.arrays: dict[Stage, dict[str, Tensor]] = {}
        self.sums: dict[Stage, tuple[Tensor, Tensor | int]] = {}
        self._metrics: dict[Stage, MetricCollection] = {}
        self._has_metrics: set[Stage] = set()

    def start_stage(self, stage: Stage, device: torch.device) -> None:
        """Resets the sums and metrics of a stage. Training is a stage, but not an evaluation pass."""
        self.sums[stage] = torch.zeros((), device=device), 0
        self._has_metrics.discard(stage)
        if stage == "train":
            return
        self.stage, self.passes = stage, self.passes + 1
        if stage not in self._metrics:
            self._metrics[stage] = self.objective.metrics().to(device)
        self._metrics[stage].reset()

    def add_loss(self, stage: Stage, loss: Tensor, count: Tensor | int) -> None:
        """Adds a mean loss over ``count`` targets."""
        if stage not in self.sums:
            self.sums[stage] = torch.zeros_like(loss), 0
        total, targets = self.sums[stage]
        if isinstance(count, int):
            if count:
                total.add_(loss, alpha=count)
        else:  # The mean of nothing is not a number, and does not count.
            total.addcmul_(torch.where(count > 0, loss, 0.0), count.to(loss.dtype))
        self.sums[stage] = total, targets + count

    def evaluate(self, stage: Stage, step: Step, batch: Batch, predict: Callable[[], Tensor]) -> None:
        """Adds the loss of a batch and, if there are outputs and targets, the metrics of its predictions."""
        if stage not in self._metrics:
            self.start_stage(stage, step.loss.device)
        self.add_loss(stage, step.loss, step.count)
        self.predictions = None
        targets = batch.targets if step.targets is None else step.targets
        if step.outputs is None or targets is None or not len(self._metrics[stage]):
            return
        # Each metric receives those of these that its update method names.
        extra = {"inputs": batch.inputs, "outputs": step.outputs}
        self.predictions = predict()
        self._metrics[stage].update(self.predictions, targets, **extra)
        self._has_metrics.add(stage)

    def mean_loss(self, stage: Stage, strategy: Strategy) -> Tensor | None:
        """Returns the mean loss over all targets of all processes; None if there were no targets."""
        if stage not in self.sums:
            return None
        total, count = (torch.as_tensor(value).to(strategy.root_device).float() for value in self.sums[stage])
        reduced = strategy.reduce(torch.stack([total, count]), reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced[0] / reduced[1] if reduced[1] else None

    def finish_stage(self, stage: Stage, strategy: Strategy) -> dict[str, Tensor]:
        """Ends a stage. Returns its loss and scalar metrics by name, omitting those without any data."""
        self.stage = None
        scalars: dict[str, Tensor] = {}
        loss = self.mean_loss(stage, strategy)
        if loss is not None:
            scalars["loss"] = loss
        self.arrays[stage] = {}
        if _in_any_process(stage in self._has_metrics, strategy):
            if stage == "val":
                self.objective.tune(self._metrics[stage])
            values: dict[str, Any] = self._metrics[stage].compute()
            self.arrays[stage] = {name: value.cpu() for name, value in values.items() if value.ndim}
            scalars |= {name: value for name, value in values.items() if not value.ndim}
        return scalars


def _in_any_process(flag: bool, strategy: Strategy) -> bool:
    """Returns whether a flag is set in any process: all processes must take part in computing a metric."""
    total = strategy.reduce(torch.tensor(float(flag), device=strategy.root_device), reduce_op="sum")
    return bool(total)
