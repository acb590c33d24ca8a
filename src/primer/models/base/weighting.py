"""Gradients of the mean over all targets, regardless of how batches and processes divide them."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

SINGLE = "model"
"""The name of the optimizer of a model that has only one."""


class Weighting(L.LightningModule):
    """The part of ``Model`` that weights the losses of accumulated batches and of several processes by their numbers of
    targets."""

    accumulate_grad_batches: int
    _windows: dict[str, list[Tensor]]
    """By optimizer, the numbers of targets of the batches since its last step."""

    @property
    def is_accumulating(self) -> bool:
        """Whether there are gradients of batches since the last step, which a checkpoint does not contain."""
        return any(self._windows.values())

    def weigh(self, loss: Tensor, count: Tensor | int, name: str = SINGLE) -> Tensor:
        """Weights the mean loss of this process and batch so that the gradient of a step is that of the mean over all
        targets of all processes and all accumulated batches."""
        world, batches = self.trainer.world_size, self.accumulated_batches()
        if world == 1 and batches == 1:
            return loss
        counts = torch.as_tensor(count, dtype=loss.dtype, device=loss.device)
        total = self.trainer.strategy.reduce(counts.clone(), reduce_op="sum") if world > 1 else counts
        assert isinstance(total, Tensor)
        if batches == 1:
            return loss * counts * world / total
        # The number of targets in later batches is not known yet: all are normalized by that of the first batch, and
        # the sum of their gradients is corrected before the step.
        window = self._windows.setdefault(name, [])
        window.append(total)
        return loss * counts * world / window[0]

    def correction(self, name: str = SINGLE) -> Tensor | float:
        """Returns the factor that the gradients are multiplied by before a step, to be those of the mean over all
        targets."""
        if not (window := self._windows.get(name)):
            return 1.0
        return self.accumulated_batches() * window[0] / torch.stack(window).sum()

    def own_correction(self) -> Tensor | float:
        """Returns the factor that turns the gradients of the latest batch alone into those of its own mean loss, apart
        from the number of accumulated batches."""
        window = self._windows.get(SINGLE)
        return window[0] / window[-1] if window else 1.0

    def accumulated_batches(self) -> int:
        """Returns how many batches are accumulated per step, by the trainer or by a model with several optimizers."""
        return self.trainer.accumulate_grad_batches if self.automatic_optimization else self.accumulate_grad_batches
