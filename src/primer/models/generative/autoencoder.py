"""The autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.generative.coder import Coder
from primer.models.layers.coders import Architecture
from primer.objectives import Objective
from primer.spec import Spec

Denoising = Literal["noise", "mask"]


class Autoencoder(Coder):
    """Reconstructs samples from short codes, with the mean squared error (Hinton and Salakhutdinov 2006). With
    ``denoising``, it reconstructs them from corrupted samples (Vincent et al. 2008), so that copying does not suffice.

    The error is that of the intensities in [0, 1] of images, and of standardized values of vectors. Samples are
    corrupted in training only, as with dropout, so the losses of all settings are comparable.

    Args:
        spec: description of the data set.
        code_size: numbers in a code.
        architecture: ``dense``, ``convolutional``, or ``auto``: convolutional for images, dense for vectors.
        hidden_sizes: units of the hidden layers of a dense encoder; the decoder has them in reverse order.
        channels: feature maps of the convolutions, each of which halves the image.
        denoising: ``noise`` adds Gaussian noise, ``mask`` sets values to 0 intensity, or to the mean of a vector's
            feature; None corrupts nothing.
        corruption: standard deviation of the noise, or probability that a value is masked.
        objective: the loss of the model itself.

    Raises:
        InputError: if a size is less than 1, ``corruption`` is out of range, or the architecture does not fit the data.
    """

    def __init__(
        self,
        spec: Spec,
        code_size: int = 32,
        architecture: Architecture = "dense",
        hidden_sizes: Sequence[int] = (512, 256),
        channels: Sequence[int] = (32, 64),
        denoising: Denoising | None = None,
        corruption: float = 0.3,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, code_size, code_size, architecture, hidden_sizes, channels, objective)
        if denoising not in (None, "noise", "mask"):
            raise InputError(f"denoising must be noise, mask or null, not {denoising!r}")
        if corruption <= 0 or (denoising == "mask" and corruption >= 1):
            raise InputError(f"corruption must be more than 0, and less than 1 for masks, not {corruption}")
        self.denoising, self.corruption = denoising, corruption

    def step(self, batch: Batch) -> Step:
        inputs = self.corrupt(batch.inputs) if self.training else batch.inputs
        error = F.mse_loss(self.original(self(inputs)), self.original(batch.inputs))
        return Step(error, batch.size)

    def corrupt(
        self, inputs: Float[Tensor, "batch ..."], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch ..."]:
        """Returns standardized samples with noise, or with masked values; unchanged without ``denoising``."""
        if self.denoising is None:
            return inputs
        if self.denoising == "noise":
            noise = torch.empty_like(inputs).normal_(generator=generator)
            return inputs + self.corruption * noise / self.std
        masked = torch.empty_like(inputs).uniform_(generator=generator) < self.corruption
        return torch.where(masked, -self.mean / self.std, inputs)
