"""Losses and metrics over a whole pass, the same for any batch size, any padding and any number of processes."""

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
    """Adds up the loss and the metrics of each stage. Nothing here waits for the device.

    Args:
        objective: whose metrics judge the outputs.

    Attributes:
        stage: the evaluation pass that is running: ``val``, ``test`` or ``predict``; None while the model trains, and
            outside of a trainer.
        passes: how many evaluation passes have started, so that a model knows one from the next.
        arrays: by stage, the metrics of the latest pass that are not scalars, such as the confusion matrix.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.stage: Stage | None = None
        self.passes = 0
        self.arrays: dict[Stage, dict[str, Tensor]] = {}
        self.sums: dict[Stage, tuple[Tensor, Tensor | int]] = {}
        self._metrics: dict[Stage, MetricCollection] = {}
        self._judged: set[Stage] = set()

    def start_stage(self, stage: Stage, device: torch.device) -> None:
        """Resets what was added up for a stage. Training is a stage too, but not an evaluation pass."""
        self.sums[stage] = torch.zeros((), device=device), 0
        self._judged.discard(stage)
        if stage == "train":
            return
        self.stage, self.passes = stage, self.passes + 1
        if stage not in self._metrics:
            self._metrics[stage] = self.objective.metrics().to(device)
        self._metrics[stage].reset()

    def add_loss(self, stage: Stage, loss: Tensor, count: Tensor | int) -> None:
        """Adds the mean loss of ``count`` targets."""
        total, targets = self.sums.get(stage, (torch.zeros_like(loss), 0))
        if isinstance(count, int):
            total.add_(loss, alpha=count)
        else:
            total.addcmul_(loss, count.to(loss.dtype))
        self.sums[stage] = total, targets + count

    def evaluate(self, stage: Stage, step: Step, batch: Batch, predict: Callable[[], Tensor]) -> None:
        """Adds the loss of a batch and, if there are outputs and targets, the metrics of its predictions."""
        if stage not in self._metrics:
            self.start_stage(stage, step.loss.device)
        self.add_loss(stage, step.loss, step.count)
        if step.outputs is None or batch.targets is None or not len(self._metrics[stage]):
            return
        # Each metric takes what it names of these.
        more = {"inputs": batch.inputs, "outputs": step.outputs}
        self._metrics[stage].update(predict(), batch.targets, **more)
        self._judged.add(stage)

    def mean_loss(self, stage: Stage, strategy: Strategy) -> Tensor | None:
        """The mean loss over all targets of all processes; None if none was counted."""
        if stage not in self.sums:
            return None
        total, count = (torch.as_tensor(value).to(strategy.root_device).float() for value in self.sums[stage])
        both = strategy.reduce(torch.stack([total, count]), reduce_op="sum")
        assert isinstance(both, Tensor)
        return both[0] / both[1] if both[1] else None

    def finish_stage(self, stage: Stage, strategy: Strategy) -> dict[str, Tensor]:
        """The loss and the scalar metrics of a stage, by their names: only those that something was counted for."""
        self.stage = None
        found: dict[str, Tensor] = {}
        loss = self.mean_loss(stage, strategy)
        if loss is not None:
            found["loss"] = loss
        self.arrays[stage] = {}
        if _anywhere(stage in self._judged, strategy):
            values: dict[str, Any] = self._metrics[stage].compute()
            self.arrays[stage] = {name: value.cpu() for name, value in values.items() if value.ndim}
            found |= {name: value for name, value in values.items() if not value.ndim}
        return found


def _anywhere(flag: bool, strategy: Strategy) -> bool:
    """Whether a flag is set in any process: all of them have to take part in computing a metric."""
    found = strategy.reduce(torch.tensor(float(flag), device=strategy.root_device), reduce_op="sum")
    return bool(found)
