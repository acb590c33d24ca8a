"""A model that creates its targets from its inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model, Step
from primer.spec import IGNORE, PADDING, UNKNOWN, NoTarget, Tokens


class MaskedLM(Model):
    """Masked language modeling (Devlin et al. 2019) with an LSTM. The output layer is tied to the embedding."""

    inputs = Tokens
    targets = NoTarget

    def __init__(self, spec, size: int = 16, fraction: float = 0.15, objective=None):
        super().__init__(spec, objective)
        self.fraction = fraction
        self.embedding = nn.Embedding(len(spec.input.vocabulary), size)
        self.encoder = nn.LSTM(size, size // 2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(size, len(spec.input.vocabulary), bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.head(self.encoder(self.embedding(inputs))[0])

    def step(self, batch: Batch) -> Step:
        generator = None if self.training else torch.Generator(self.device).manual_seed(0)
        chosen = torch.rand(batch.inputs.shape, generator=generator, device=self.device) < self.fraction
        chosen &= batch.inputs != PADDING
        chosen[0, 0] = True
        logits = self(batch.inputs.masked_fill(chosen, UNKNOWN))
        targets = batch.inputs.masked_fill(~chosen, IGNORE)
        return Step(F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE), chosen.sum())
