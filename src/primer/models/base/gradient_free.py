"""Base class of models that learn without gradients."""

from __future__ import annotations

from typing import Any

import torch

from primer.models.base.model import Model


class GradientFree(Model):
    """A model without an optimizer, which changes its buffers itself. The training loss is computed but not minimized.
    Settings of optimizers, schedules, penalties and clipping are rejected."""

    def configure_optimizers(self) -> None:
        return None

    def training_step(self, batch: Any, batch_idx: int) -> None:
        with torch.no_grad():
            step = self.step(batch)
        self._latest = step.loss.detach(), step.count
