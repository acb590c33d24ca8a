"""A model that overrides the steps of a LightningModule and logs its own metrics."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model
from primer.spec import Image, NoTarget


class VAE(Model):
    """A variational autoencoder (Kingma and Welling 2014)."""

    inputs = Image
    targets = NoTarget

    def __init__(self, spec, code_size: int = 4, objective=None):
        super().__init__(spec, objective)
        self.encoder = nn.Sequential(nn.Linear(spec.input.size, 32), nn.ReLU(), nn.Linear(32, 2 * code_size))
        self.decoder = nn.Sequential(nn.Linear(code_size, 32), nn.ReLU(), nn.Linear(32, spec.input.size))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.decoder(self.encoder(inputs.flatten(1)).chunk(2, dim=1)[0])

    def elbo_loss(self, batch: Batch) -> Tensor:
        mean, log_variance = self.encoder(batch.inputs.flatten(1)).chunk(2, dim=1)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        decoded = self.decoder(mean + noise * (log_variance / 2).exp())
        error = F.mse_loss(decoded, batch.inputs.flatten(1), reduction="none").sum(1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return (error + kl).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.elbo_loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=batch.size)
        self.log("train/largest", loss, on_step=False, on_epoch=True, reduce_fx="max")
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val/loss", self.elbo_loss(batch), batch_size=batch.size)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/loss", self.elbo_loss(batch), batch_size=batch.size)
