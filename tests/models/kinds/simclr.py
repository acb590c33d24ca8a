"""A model that compares two augmented views of each sample."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model, Step
from primer.spec import Image, NoTarget


class SimCLR(Model):
    """Contrastive learning with two views of each image (Chen et al. 2020, NT-Xent loss)."""

    inputs = Image
    targets = NoTarget
    views = 2

    def __init__(self, spec, size: int = 16, temperature: float = 0.5, objective=None):
        super().__init__(spec, objective)
        self.temperature = temperature
        self.encoder = nn.Sequential(nn.Linear(spec.input.size, 64), nn.ReLU(), nn.Linear(64, size))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return F.normalize(self.encoder(inputs.flatten(1)), dim=1)

    def step(self, batch: Batch) -> Step:
        codes, pairs = self(batch.inputs), batch.size // 2
        similarity = (codes @ codes.T / self.temperature).masked_fill(
            torch.eye(2 * pairs, dtype=torch.bool), -torch.inf
        )
        partner = torch.arange(2 * pairs).roll(pairs)
        return Step(F.cross_entropy(similarity, partner), batch.size)
