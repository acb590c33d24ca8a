"""A model with two losses, each with its own optimizer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model, Step
from primer.spec import Image, NoTarget


class GAN(Model):
    """A generator learns to fool a discriminator (Goodfellow et al. 2014)."""

    inputs = Image
    targets = NoTarget
    monitor = None

    def __init__(self, spec, noise_size: int = 8, objective=None):
        super().__init__(spec, objective)
        self.noise_size = noise_size
        self.generator = nn.Sequential(nn.Linear(noise_size, 32), nn.ReLU(), nn.Linear(32, spec.input.size))
        self.discriminator = nn.Sequential(nn.Linear(spec.input.size, 32), nn.ReLU(), nn.Linear(32, 1))

    def optimizer_groups(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def generate(self, count: int) -> Tensor:
        generator = None if self.training else torch.Generator(self.device).manual_seed(0)
        return self.generator(torch.randn(count, self.noise_size, generator=generator, device=self.device))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real, fake = self.discriminator(batch.inputs.flatten(1)), self.discriminator(self.generate(batch.size).detach())
        loss = (F.softplus(-real) + F.softplus(fake)).mean()
        self.log("train/discriminator", loss, on_step=False, on_epoch=True, batch_size=batch.size)
        self.optimize("discriminator", Step(loss, batch.size))
        self.optimize("generator", self.step(batch))

    def step(self, batch: Batch) -> Step:
        return Step(F.softplus(-self.discriminator(self.generate(batch.size))).mean(), batch.size)
