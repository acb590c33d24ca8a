"""Models written like any LightningModule, without the helpers of the base model, and models with mistakes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from primer.batch import Batch
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.spec import Classes, Image, NoTarget


class PlainGAN(Model):
    """Two manually stepped optimizers on data with classes."""

    inputs = Image
    targets = Classes

    def __init__(self, spec, objective=None):
        super().__init__(spec, objective)
        self.automatic_optimization = False
        self.generator = nn.Linear(4, spec.input.size)
        self.discriminator = nn.Linear(spec.input.size, 1)

    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters()) for part in (self.generator, self.discriminator)]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        for optimizer, sign in zip(self.optimizers(), (-1, 1), strict=True):
            fake = self.discriminator(self.generator(torch.randn(batch.size, 4)))
            optimizer.zero_grad()
            self.manual_backward(F.softplus(sign * fake).mean())
            optimizer.step()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Does not log anything."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/real", self.discriminator(batch.inputs.flatten(1)).mean(), batch_size=batch.size)


class WithLoader(MLP):
    """Defines its own data loader."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader([1, 2, 3])


class Forgetful(MLP):
    """Overrides a hook that the base uses, as if it were empty."""

    def on_validation_epoch_start(self) -> None:
        """Does nothing."""


class Idle(Model):
    """Never steps an optimizer."""

    inputs = Image
    targets = NoTarget

    def __init__(self, spec, objective=None):
        super().__init__(spec, objective)
        self.layer = nn.Linear(1, 1)
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Does nothing."""


class Incomplete(Model):
    """Does not define ``step`` although its data does not have targets."""

    inputs = Image
    targets = NoTarget

    def __init__(self, spec, objective=None):
        super().__init__(spec, objective)
        self.layer = nn.Linear(spec.input.size, 2)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.layer(inputs.flatten(1))


class NoObjective(Model):
    """Its constructor does not take an objective."""

    inputs = Image
    targets = Classes

    def __init__(self, spec):
        super().__init__(spec)


class NoInputs(Model):
    """Does not declare the inputs that it accepts."""

    targets = Classes

    def __init__(self, spec, objective=None):
        super().__init__(spec, objective)
