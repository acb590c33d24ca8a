"""The generative adversarial network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.generative.generative import Generative
from primer.models.generative.sample_model import SampleModel
from primer.models.layers.coders import Architecture, build_decoder, build_encoder, resolve_architecture
from primer.models.layers.validation import check_choice, check_not_negative, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Vector

Loss = Literal["non_saturating", "hinge", "wasserstein_gp"]

SLOPE = 0.2
"""Negative slope of the discriminator's activation (Radford et al. 2016)."""


class GAN(SampleModel, Generative):
    r"""A generative adversarial network (Goodfellow et al. 2014): a generator turns noise into samples, and a
    discriminator scores how real samples look. For images, both are convolutional (DCGAN, Radford et al. 2016), but the
    discriminator has no batch normalization.

    The losses of the discriminator :math:`D` and the generator :math:`G` are

    - ``non_saturating``: :math:`-\log \sigma(D(x)) - \log \sigma(-D(G(z)))` and :math:`-\log \sigma(D(G(z)))`;
    - ``hinge``: :math:`\max(0, 1 - D(x)) + \max(0, 1 + D(G(z)))` and :math:`-D(G(z))` (Lim and Ye 2017);
    - ``wasserstein_gp``: :math:`D(G(z)) - D(x) + \lambda (\|\nabla D\| - 1)^2` and :math:`-D(G(z))` (Gulrajani et al.
      2017), with the gradient at random points between real and generated samples.

    The loss of a stage is the generator's; ``train/generator`` and ``train/discriminator`` are logged in training. It
    says little about the samples, so the latest checkpoint is the best one. ``regularization.ema`` averages the weights
    of the generator.

    Args:
        spec: description of the data set.
        noise_size: size of the noise of a sample.
        architecture: ``dense``, ``convolutional``, or ``auto``: convolutional for images, dense for vectors.
        hidden_sizes: units of the hidden layers of a dense discriminator; the generator has them in reverse order.
        channels: feature maps of the discriminator's convolutions, each of which halves the image; the generator has
            them in reverse order.
        loss: ``non_saturating``, ``hinge`` or ``wasserstein_gp``.
        gradient_penalty: :math:`\lambda`, for ``wasserstein_gp``.
        discriminator_steps: steps of the discriminator for each step of the generator.
        spectral_norm: whether to divide the weights of the discriminator by their largest singular value (Miyato et
            al. 2018).
        conditional: whether to generate samples of given classes (Mirza and Osindero 2014). The class is appended to
            the noise, and the discriminator has one score per class.
        objective: the loss of the model itself.

    Raises:
        InputError: if a size is less than 1, a setting is out of range, the architecture does not fit the data, or the
            data of a conditional model does not have classes.
    """

    monitor = None
    logged_metrics = ("train/generator", "train/discriminator")

    def __init__(
        self,
        spec: Spec,
        noise_size: int = 64,
        architecture: Architecture = "auto",
        hidden_sizes: Sequence[int] = (256, 128),
        channels: Sequence[int] = (64, 128),
        loss: Loss = "non_saturating",
        gradient_penalty: float = 10.0,
        discriminator_steps: int = 1,
        spectral_norm: bool = False,
        conditional: bool = False,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        kind = spec.input
        assert isinstance(kind, Vector | Image)
        check_sizes(noise_size=noise_size, discriminator_steps=discriminator_steps)
        check_choice("loss", loss, ("non_saturating", "hinge", "wasserstein_gp"))
        check_not_negative(gradient_penalty=gradient_penalty)
        if conditional and not isinstance(spec.target, Classes):
            raise InputError("conditional=true requires data with classes")
        self.noise_size, self.loss, self.gradient_penalty = noise_size, loss, gradient_penalty
        self.discriminator_steps, self.spectral_norm = discriminator_steps, spectral_norm
        self.class_names = spec.target.names if conditional and isinstance(spec.target, Classes) else ()
        layout = resolve_architecture(architecture, kind, channels)
        size = noise_size + len(self.class_names)
        self.generator = build_decoder(kind, size, layout, hidden_sizes, channels, normalize=True)
        self.discriminator = build_encoder(
            kind,
            max(1, len(self.class_names)),
            layout,
            hidden_sizes,
            channels,
            activation=partial(nn.LeakyReLU, SLOPE),
            wrap=parametrizations.spectral_norm if spectral_norm else lambda layer: layer,
        )

    def optimizer_groups(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def group_length(self, name: str) -> tuple[int | float, int | float]:
        steps, epochs = self.run_length
        if name == "discriminator" or math.isinf(steps):
            return steps, epochs
        return math.ceil(steps / self.discriminator_steps), epochs

    def averaged_part(self) -> nn.Module:
        return self.generator  # The discriminator has to be that of the latest step to judge.

    def generate(
        self, noise: Float[Tensor, "count size"], classes: Int[Tensor, " count"] | None = None
    ) -> Float[Tensor, "count ..."]:
        if self.class_names:
            assert classes is not None
            noise = torch.cat([noise, F.one_hot(classes, len(self.class_names)).to(noise.dtype)], 1)
        return self.activate(self.generator(noise.to(self.dtype)))

    def score(
        self, samples: Float[Tensor, "batch ..."], classes: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Returns how real the discriminator judges standardized samples, of the given classes if the model is
        conditional."""
        scores = self.discriminator(samples)
        if not self.class_names:
            return scores.squeeze(1)
        assert classes is not None
        return scores.gather(1, classes[:, None]).squeeze(1)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:  # type: ignore[override]
        """Returns how real the discriminator judges standardized samples: of a conditional model, the highest score of
        all classes."""
        return self.discriminator(inputs).amax(1)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        classes = batch.targets if self.class_names else None
        trains_generator = self.trainer.fit_loop.total_batch_idx % self.discriminator_steps == 0
        with torch.set_grad_enabled(trains_generator):
            fake = self.generate(torch.randn(batch.size, self.noise_size, device=self.device), classes)
        settings = {"on_step": False, "on_epoch": True, "batch_size": batch.size}
        loss = self.discriminator_loss(batch.inputs, fake.detach(), classes)
        self.log("train/discriminator", loss.detach(), **settings)
        self.optimize("discriminator", Step(loss, batch.size))
        if not trains_generator:
            return
        self.discriminator.eval()  # Spectral normalization keeps its estimate of the singular values.
        loss = self.generator_loss(fake, classes)
        self.log("train/generator", loss.detach(), **settings)
        self.optimize("generator", Step(loss, batch.size))
        self.discriminator.train()

    def step(self, batch: Batch) -> Step:
        """Computes the loss of the generator, for as many samples as the batch has."""
        classes = batch.targets if self.class_names else None
        if self.training:
            noise = torch.randn(batch.size, self.noise_size, device=self.device)
        else:
            noise = self.fixed_noise(batch.inputs)
        return Step(self.generator_loss(self.generate(noise, classes), classes), batch.size)

    def discriminator_loss(
        self, real: Float[Tensor, "batch ..."], fake: Float[Tensor, "batch ..."], classes: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """Returns the loss of the discriminator for real and generated samples."""
        both = None if classes is None else torch.cat([classes, classes])
        of_real, of_fake = self.score(torch.cat([real, fake]), both).chunk(2)
        if self.loss == "non_saturating":
            return (F.softplus(-of_real) + F.softplus(of_fake)).mean()
        if self.loss == "hinge":
            return ((1 - of_real).relu() + (1 + of_fake).relu()).mean()
        return (of_fake - of_real).mean() + self.gradient_penalty * self.penalize_gradient(real, fake, classes)

    def generator_loss(self, fake: Float[Tensor, "batch ..."], classes: Tensor | None = None) -> Float[Tensor, ""]:
        """Returns the loss of the generator for its samples."""
        scores = self.score(fake, classes)
        return F.softplus(-scores).mean() if self.loss == "non_saturating" else -scores.mean()

    def penalize_gradient(
        self, real: Float[Tensor, "batch ..."], fake: Float[Tensor, "batch ..."], classes: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """Returns the mean squared difference of the norm of the score's gradient from 1, at random points between real
        and generated samples."""
        weight = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        points = (weight * real + (1 - weight) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self.score(points, classes).sum(), points, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
