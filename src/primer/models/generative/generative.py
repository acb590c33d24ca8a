"""What models that generate samples have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIXED = 1024
"""Number of fixed noise vectors in evaluation."""


class Generative(ABC):
    """A model that turns noise into samples.

    Attributes:
        noise_size: size of the noise of a sample.
        class_names: the classes that samples are generated of; empty unless the model is conditional.
    """

    noise_size: int
    class_names: tuple[str, ...] = ()

    @abstractmethod
    def generate(
        self, noise: Float[Tensor, "count size"], classes: Int[Tensor, " count"] | None = None
    ) -> Float[Tensor, "count ..."]:
        """Returns a standardized sample for each row of noise, of the given classes if the model is conditional."""

    def fixed_noise(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch size"]:
        """Returns normally distributed noise for evaluation. It depends only on the values of each sample, so a loss
        does not depend on the batch size."""
        table = torch.randn(FIXED, self.noise_size, generator=torch.Generator().manual_seed(0))
        hashes = (inputs.flatten(1).float() * 1000).round().long().sum(1) % FIXED
        return table.to(inputs)[hashes]
