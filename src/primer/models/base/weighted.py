"""Gradients of the mean over all targets, however they come in batches and processes."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor


class Weighted(L.LightningModule):
    """The part of ``Model`` that weighs the losses of batches which are accumulated, and of several processes, by how
    many targets each has."""

    _window: list[Tensor]
    """The numbers of targets of the batches since the last step."""

    def _weigh(self, loss: Tensor, count: Tensor | int) -> Tensor:
        """The mean loss of this process and batch, weighted so that the gradient of a step is that of the mean over
        all targets: those of every process, and of every batch that is accumulated."""
        world, batches = self.trainer.world_size, self.trainer.accumulate_grad_batches
        if world == 1 and batches == 1:
            return loss
        counts = torch.as_tensor(count, dtype=loss.dtype, device=loss.device)
        everywhere = self.trainer.strategy.reduce(counts.clone(), reduce_op="sum") if world > 1 else counts
        assert isinstance(everywhere, Tensor)
        if batches == 1:
            return loss * counts * world / everywhere
        # How many targets the later batches have is not known yet: all are measured by the first, and the sum of
        # their gradients is corrected before the step.
        self._window.append(everywhere)
        return loss * counts * world / self._window[0]

    def correction(self) -> Tensor | float:
        """What the gradients are multiplied by before a step, to be those of the mean over all targets."""
        if not self._window:
            return 1.0
        return self.trainer.accumulate_grad_batches * self._window[0] / torch.stack(self._window).sum()

    def own_correction(self) -> Tensor | float:
        """What the gradients of the latest batch alone are to be multiplied by, besides the number of batches that are
        accumulated, to be those of its own mean loss."""
        return self._window[0] / self._window[-1] if self._window else 1.0

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._window:
            factor = self.correction()
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
            self._window = []
