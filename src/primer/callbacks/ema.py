"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging

from primer.errors import InputError
from primer.models.base import Model

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


class EMA(WeightAveraging):
    r"""Keeps an exponential moving average of the weights, :math:`a \leftarrow d a + (1 - d) w` after each step (Polyak
    and Juditsky 1992; Tarvainen and Valpola 2017). Running statistics of normalization layers are averaged as well.

    The averaged weights are validated, tested and saved in checkpoints. Training continues with the original weights,
    which checkpoints also contain so that a run can be resumed. A model may have only a part of its weights averaged:
    its ``averaged_part``.

    The decay at step :math:`t` is :math:`\min(d, (1 + t) / (10 + t))`, so that the initial weights do not dominate the
    average of a short run.

    Args:
        decay: :math:`d`, at least 0 and less than 1.

    Raises:
        InputError: if ``decay`` is out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"regularization.ema must be at least 0 and less than 1, or null, not {decay}")

        @torch.no_grad()
        def average(averages: Tensors, values: Tensors, steps: torch.Tensor | int) -> None:
            current = min(decay, (1 + int(steps)) / (10 + int(steps)))
            if averages[0].is_floating_point():
                torch._foreach_lerp_(list(averages), list(values), 1 - current)  # pyright: ignore[reportPrivateImportUsage]
            else:  # Integer buffers, such as step counters.
                torch._foreach_copy_(list(averages), list(values))  # pyright: ignore[reportPrivateImportUsage]

        super().__init__(multi_avg_fn=average)
        self._copied: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert self._average_model is not None
        assert isinstance(pl_module, Model)
        part = pl_module.averaged_part()
        averaged = {id(tensor) for tensor in (*part.parameters(), *part.buffers())}
        copy = self._average_model.module
        pairs = zip((*copy.parameters(), *copy.buffers()), (*pl_module.parameters(), *pl_module.buffers()), strict=True)
        others = [(mean.detach(), value.detach()) for mean, value in pairs if id(value) not in averaged]
        self._copied = [mean for mean, _ in others], [value for _, value in others]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._copied[0]:
            with torch.no_grad():
                torch._foreach_copy_(*self._copied)  # pyright: ignore[reportPrivateImportUsage]

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The threshold that validation has chosen is that of the averaged weights, which have been swapped back before.
        if self._average_model is not None:
            objective: Any = self._average_model.module.objective
            objective.load_state_dict(pl_module.objective.state_dict())  # type: ignore[operator, union-attr]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # A test uses the averaged weights alone.
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
