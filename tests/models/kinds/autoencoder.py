"""A model with a custom loss and without targets."""

from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Model, Step
from primer.spec import Image, NoTarget, Vector


class Autoencoder(Model):
    """Reconstructs its input from a short code (Hinton and Salakhutdinov 2006)."""

    inputs = Vector | Image
    targets = NoTarget

    def __init__(self, spec, code_size: int = 8, objective=None):
        super().__init__(spec, objective)
        self.encoder = nn.Sequential(nn.Linear(spec.input.size, 32), nn.ReLU(), nn.Linear(32, code_size))
        self.decoder = nn.Sequential(nn.Linear(code_size, 32), nn.ReLU(), nn.Linear(32, spec.input.size))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.decoder(self.encoder(inputs.flatten(1)))

    def step(self, batch: Batch) -> Step:
        return Step(F.mse_loss(self(batch.inputs), batch.inputs.flatten(1)), batch.size)
