"""The variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from primer.batch import Batch
from primer.models.base import Step
from primer.models.generative.coder import Coder
from primer.models.generative.generative import Generative
from primer.models.layers.coders import Architecture
from primer.models.layers.validation import check_not_negative
from primer.objectives import Objective
from primer.spec import Image, Spec

ACTIVE = 0.01
"""The variance, over samples, of the mean of a unit from which on it is active (Burda et al. 2016)."""


class VAE(Coder, Generative):
    r"""A variational autoencoder (Kingma and Welling 2014): the encoder computes a normal distribution
    :math:`q(z|x)` of codes, and the decoder a distribution of samples. The loss is, per sample and in nats,

    .. math::
        -E_{q(z|x)} \log p(x|z) + \beta\, KL(q(z|x) \,\|\, N(0, I))

    which for :math:`\beta = 1` is the negative evidence lower bound (ELBO). A larger :math:`\beta` gives codes whose
    units are more independent (Higgins et al. 2017).

    The pixels of images are binary, with their intensities as probabilities: the loss is the expectation over all such
    binarizations of an image, so it is a bound for stochastically binarized images. Vectors have a normal distribution
    with standard deviation 1 around what is decoded.

    In evaluation, the noise of a sample depends on its values only, so the loss does not depend on the batch size.
    ``elbo``, ``kl`` and the number of ``active_units`` are logged besides the loss.

    Args:
        spec: description of the data set.
        code_size: numbers in a code.
        architecture: ``dense``, ``convolutional``, or ``auto``: convolutional for images, dense for vectors.
        hidden_sizes: units of the hidden layers of a dense encoder; the decoder has them in reverse order.
        channels: feature maps of the convolutions, each of which halves the image.
        beta: weight of the KL divergence.
        objective: the loss of the model itself.

    Raises:
        InputError: if a size is less than 1, ``beta`` is negative, or the architecture does not fit the data.
    """

    logged_metrics = tuple(f"{stage}/{name}" for stage in ("val", "test") for name in ("elbo", "kl", "active_units"))

    def __init__(
        self,
        spec: Spec,
        code_size: int = 20,
        architecture: Architecture = "dense",
        hidden_sizes: Sequence[int] = (400,),
        channels: Sequence[int] = (32, 64),
        beta: float = 1.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, code_size, 2 * code_size, architecture, hidden_sizes, channels, objective)
        check_not_negative(beta=beta)
        self.beta, self.noise_size = beta, code_size
        self._moments: list[Tensor] = []

    def distribution(
        self, inputs: Float[Tensor, "batch ..."]
    ) -> tuple[Float[Tensor, "batch code"], Float[Tensor, "batch code"]]:
        """Returns the mean and the logarithm of the variance of the codes of each sample."""
        mean, log_variance = self.encoder(inputs).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch code"]:
        """Returns the mean code of each standardized sample."""
        return self.distribution(inputs)[0]

    def step(self, batch: Batch) -> Step:
        mean, log_variance = self.distribution(batch.inputs)
        noise = torch.randn_like(mean) if self.training else self.fixed_noise(batch.inputs)
        codes = mean + noise * (log_variance / 2).exp()
        error = self.reconstruction_error(codes, self.original(batch.inputs)).mean()
        kl = kl_divergence(mean, log_variance).mean()
        stage = self.evaluation.stage
        if stage in ("val", "test"):
            settings = {"batch_size": batch.size, "on_step": False, "on_epoch": True}
            self.log(f"{stage}/elbo", -error - kl, **settings)
            self.log(f"{stage}/kl", kl, **settings)
            wide = mean.detach().float()
            self._moments.append(torch.stack([torch.ones_like(wide), wide, wide.square()]).sum(1))
        return Step(error + self.beta * kl, batch.size)

    def reconstruction_error(
        self, codes: Float[Tensor, "batch code"], samples: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, " batch"]:
        r"""Returns :math:`-\log p(x|z)` of each sample, in nats."""
        decoded = self.decoder(codes)
        if isinstance(self.spec.input, Image):
            return F.binary_cross_entropy_with_logits(decoded, samples, reduction="none").flatten(1).sum(1)
        return (0.5 * (decoded - samples).square() + 0.5 * math.log(2 * math.pi)).sum(1)

    def generate(
        self, noise: Float[Tensor, "count size"], classes: Int[Tensor, " count"] | None = None
    ) -> Float[Tensor, "count ..."]:
        return self.decode(noise.to(self.dtype))

    def on_validation_epoch_end(self) -> None:
        self._log_active_units("val")
        super().on_validation_epoch_end()

    def on_test_epoch_end(self) -> None:
        self._log_active_units("test")
        super().on_test_epoch_end()

    def _log_active_units(self, stage: str) -> None:
        """Logs the number of units whose mean varies between samples. The others have learned nothing."""
        if self._moments:
            sums = self.trainer.strategy.reduce(torch.stack(self._moments).sum(0), reduce_op="sum")
            self._moments = []
            assert isinstance(sums, Tensor)
            count, total, squares = sums
            variance = squares / count - (total / count).square()
            self.log(f"{stage}/active_units", (variance > ACTIVE).sum().float())


def kl_divergence(
    mean: Float[Tensor, "batch code"], log_variance: Float[Tensor, "batch code"]
) -> Float[Tensor, " batch"]:
    r"""Returns the KL divergence of a normal distribution from the standard one, in nats:
    :math:`\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)`."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
