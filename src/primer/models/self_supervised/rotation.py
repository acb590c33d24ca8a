"""Rotation prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.self_supervised.backbone import Pretraining
from primer.objectives import Objective
from primer.spec import Image, Spec

TURNS = 4
"""The number of classes: rotations by 0, 90, 180 and 270 degrees."""


class Rotation(Pretraining):
    """Predicts by how much an image was rotated (Gidaris et al. 2018), which requires features of its content. Each
    image is seen in all four rotations.

    Args:
        spec: description of the data set. Images must be square.
        backbone: the model to pre-train.
        backbone_settings: its arguments.
        objective: the loss of the model itself.

    Raises:
        InputError: if the images are not square, or the backbone is unknown.
    """

    logged_metrics = (*Pretraining.logged_metrics, "val/rotation_accuracy", "test/rotation_accuracy")

    def __init__(
        self,
        spec: Spec,
        backbone: str = "lenet",
        backbone_settings: Mapping[str, Any] | None = None,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, backbone, backbone_settings, objective)
        assert isinstance(spec.input, Image)
        if spec.input.height != spec.input.width:
            raise InputError(f"images must be square to be rotated, not {spec.input.height}x{spec.input.width}")
        self.turns = nn.Linear(self.features, TURNS)

    def step(self, batch: Batch) -> Step:
        inputs, turns = rotate(batch.inputs)
        features = self.encode(inputs)
        logits = self.turns(features)
        stage = self.evaluation.stage
        if stage in ("val", "test"):
            accuracy = (logits.argmax(1) == turns).float().mean()
            self.log(f"{stage}/rotation_accuracy", accuracy, batch_size=len(turns), on_step=False, on_epoch=True)
        upright = features[: batch.size]
        return self.with_probe(Step(F.cross_entropy(logits, turns), len(turns)), upright, batch)


def rotate(
    images: Float[Tensor, "batch channels side side"],
) -> tuple[Float[Tensor, "rows channels side side"], Int[Tensor, " rows"]]:
    """Returns all images in each of the four rotations, first those that are not rotated, and the number of quarter
    turns of each."""
    rotated = torch.cat([images.rot90(turns, (2, 3)) for turns in range(TURNS)])
    return rotated, torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
