"""The average of the weights."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging

from primer.errors import InputError

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


class EMA(WeightAveraging):
    r"""Keeps an exponential moving average of the weights, :math:`a \leftarrow d a + (1 - d) w` after each step (Polyak
    and Juditsky 1992; Tarvainen and Valpola 2017). Running statistics of norms are averaged in the same way.

    Validation, checkpoints and the test are of the average; training goes on with the weights themselves, which a
    checkpoint holds too, so that a run can be resumed.

    In step :math:`t` the decay is :math:`\min(d, (1 + t) / (10 + t))`, so that a short run does not remember its start.

    Args:
        decay: :math:`d`, from 0 to less than 1.

    Raises:
        ValueError: for another decay.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"regularization.ema must be at least 0 and less than 1, or null, not {decay}")

        @torch.no_grad()
        def average(averages: Tensors, values: Tensors, steps: torch.Tensor | int) -> None:
            now = min(decay, (1 + int(steps)) / (10 + int(steps)))
            if averages[0].is_floating_point():
                torch._foreach_lerp_(list(averages), list(values), 1 - now)  # pyright: ignore[reportPrivateImportUsage]
            else:  # Counters.
                torch._foreach_copy_(list(averages), list(values))  # pyright: ignore[reportPrivateImportUsage]

        super().__init__(multi_avg_fn=average)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # In a test, the average is what is tested.
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
