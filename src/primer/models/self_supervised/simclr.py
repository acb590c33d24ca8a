"""SimCLR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.layers.validation import check_sizes
from primer.models.self_supervised.backbone import Pretraining
from primer.objectives import Objective
from primer.spec import Spec


class SimCLR(Pretraining):
    """Contrastive learning (Chen et al. 2020): two augmented views of the same image get similar features, and views of
    different images do not. The loss, NT-Xent, is the cross-entropy of telling the other view of an image from all
    other images of the batch, so it depends on the batch size, in evaluation, too.

    Views are augmented in evaluation as well. Choose the augmentation by ``regularization/augmentation``: it defines
    what the features ignore.

    Args:
        spec: description of the data set.
        backbone: the model to pre-train.
        backbone_settings: its arguments.
        projection_size: size of the outputs of the projection head, whose hidden layer is as large as the features.
        temperature: divides the cosine similarities.
        objective: the loss of the model itself.

    Raises:
        InputError: if the size is less than 1, the temperature is not positive, or the backbone is unknown.
    """

    views = 2

    def __init__(
        self,
        spec: Spec,
        backbone: str = "lenet",
        backbone_settings: Mapping[str, Any] | None = None,
        projection_size: int = 64,
        temperature: float = 0.5,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, backbone, backbone_settings, objective)
        check_sizes(projection_size=projection_size)
        if temperature <= 0:
            raise InputError(f"temperature must be more than 0, not {temperature}")
        self.temperature = temperature
        self.projection = nn.Sequential(
            nn.Linear(self.features, self.features), nn.ReLU(), nn.Linear(self.features, projection_size)
        )

    def step(self, batch: Batch) -> Step:
        features = self.encode(batch.inputs)
        loss = nt_xent(self.projection(features), self.temperature)
        return self.with_probe(Step(loss, batch.size), features, batch)


def nt_xent(codes: Float[Tensor, "rows size"], temperature: float) -> Float[Tensor, ""]:
    """Returns the normalized temperature-scaled cross-entropy (Chen et al. 2020, equation 1). Rows ``i`` and ``n + i``
    are views of the same sample."""
    unit = F.normalize(codes, dim=1)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)
    partner = torch.arange(len(codes), device=codes.device).roll(len(codes) // 2)
    return F.cross_entropy(similarity, partner)
