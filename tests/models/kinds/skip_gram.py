"""A model with sparse gradients."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model, Step
from primer.spec import PADDING, NoTarget, Tokens


class SkipGram(Model):
    """Skip-gram with negative sampling and a context of one word on each side (Mikolov et al. 2013)."""

    inputs = Tokens
    targets = NoTarget

    def __init__(self, spec, size: int = 8, negative: int = 5, objective=None):
        super().__init__(spec, objective)
        self.words = len(spec.input.vocabulary)
        self.negative = negative
        self.center = nn.Embedding(self.words, size, sparse=True)
        self.context = nn.Embedding(self.words, size, sparse=True)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.center(inputs)

    def step(self, batch: Batch) -> Step:
        left, right = batch.inputs[:, :-1].flatten(), batch.inputs[:, 1:].flatten()
        real = (left != PADDING) & (right != PADDING)
        centers, contexts = torch.cat([left[real], right[real]]), torch.cat([right[real], left[real]])
        generator = None if self.training else torch.Generator(self.device).manual_seed(0)
        noise = torch.randint(2, self.words, (len(centers), self.negative), generator=generator, device=self.device)
        scores = (self.context(torch.cat([contexts[:, None], noise], 1)) * self.center(centers)[:, None]).sum(-1)
        loss = F.softplus(-scores[:, 0]) + F.softplus(scores[:, 1:]).sum(1)
        return Step(loss.mean(), len(centers))
