"""How close the samples of a generative model are to real ones, in the features of a classifier."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning import Callback, Trainer
from torch import Tensor, nn

from primer.batch import Batch
from primer.config.instantiate import instantiate
from primer.errors import InputError
from primer.models.base import Model
from primer.models.generative.generative import Generative
from primer.objectives import Objective
from primer.records.console import say
from primer.spec import Image, Spec

NEIGHBORS, MOST = 3, 5000
"""The neighbor whose distance is the radius around a sample, and the largest number of samples that recall is computed
from (Kynkäänniemi et al. 2019)."""


class SampleQuality(Callback):
    r"""Compares generated images with the real ones of validation and test, as many of each. Other models and runs of
    several processes are skipped.

    - ``fid``: the Fréchet distance of normal distributions fitted to the features of both (Heusel et al. 2017),
      :math:`\|\mu_1 - \mu_2\|^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2})`. The features are the
      inputs of the last layer of a classifier, so values are only comparable for the same classifier.
    - ``recall``: the fraction of real samples that are near a generated one (Kynkäänniemi et al. 2019).
    - ``rarest_class`` and ``most_frequent_class``: the lowest and the highest frequency of a predicted class among
      generated samples, divided by its frequency among real ones.

    Args:
        classifier: a file that ``python -m primer export RUN format=safetensors`` wrote for a classifier of images of
            the same shape. By default the one that Primer includes for the data set, if any; without a classifier,
            nothing is logged.
        every_n_epochs: how often validation judges samples; None leaves it to the test.

    Raises:
        InputError: if the number is less than 1; before the run, if the file does not exist or its images have another
            shape.
    """

    logged_metrics = tuple(
        f"{stage}/{name}"
        for stage in ("val", "test")
        for name in ("fid", "recall", "rarest_class", "most_frequent_class")
    )

    def __init__(self, classifier: str | None = None, every_n_epochs: int | None = 5) -> None:
        if every_n_epochs is not None and every_n_epochs < 1:
            raise InputError(f"callbacks.sample_quality.every_n_epochs must be at least 1, not {every_n_epochs}")
        self.classifier, self.every_n_epochs = classifier, every_n_epochs
        self._judges = False
        self.features: Features | None = None
        self._collected: list[tuple[Tensor, ...]] = []
        self._generator = torch.Generator()

    def setup(self, trainer: Trainer, pl_module: Model, stage: str) -> None:
        image, data = pl_module.spec.input, type(getattr(trainer, "datamodule", None)).__name__
        self.features = None
        if not isinstance(pl_module, Generative) or not isinstance(image, Image):
            return
        features, shape = self._load_features(data.lower()), (image.channels, image.height, image.width)
        if features is not None and features.shape != shape and self.classifier is not None:
            raise InputError(
                f"callbacks.sample_quality.classifier={self.classifier} is for images of shape {features.shape}, but "
                f"these have {shape}"
            )
        if features is None or features.shape != shape:
            return
        if trainer.world_size > 1:
            say("note: generated images are judged in runs of a single process only, so there is no FID")
            return
        self.features = features.to(pl_module.device)

    def _load_features(self, data: str) -> Features | None:
        if self.classifier is not None:
            file = Path(self.classifier).expanduser()
            if not file.is_file():
                raise InputError(f"callbacks.sample_quality.classifier={self.classifier}: there is no such file")
            return Features(file)
        # A run of experiment=mnist_lenet, exported with format=safetensors.
        with resources.as_file(resources.files("primer.data") / "embedded" / f"{data}.safetensors") as file:
            return Features(file) if file.is_file() else None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._start(pl_module)
        epoch = trainer.current_epoch + 1
        wanted = self.every_n_epochs is not None and epoch % self.every_n_epochs == 0
        self._judges = wanted and not trainer.sanity_checking

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._start(pl_module)
        self._judges = True

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._add(pl_module, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._add(pl_module, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._log("val", pl_module)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._log("test", pl_module)

    def _start(self, model: Model) -> None:
        self._collected, self._generator = [], torch.Generator().manual_seed(0)
        if self.features is not None:
            self.features.to(model.device)

    @torch.no_grad()
    def _add(self, model: Model, batch: Any) -> None:
        """Adds the features of a batch, and of as many samples of the same classes."""
        if self.features is None or not self._judges or not isinstance(batch, Batch) or not batch.size:
            return
        assert isinstance(model, Generative)
        assert isinstance(model.spec.input, Image)
        # One row of noise at a time, so that the samples do not depend on the batch size.
        rows = [torch.randn(1, model.noise_size, generator=self._generator) for _ in range(batch.size)]
        fake = model.generate(torch.cat(rows).to(model.device), batch.targets if model.class_names else None)
        pairs = [self.features(images, model.spec.input) for images in (batch.inputs, fake)]
        self._collected.append(tuple(tensor for pair in pairs for tensor in pair))

    def _log(self, stage: str, model: Model) -> None:
        if not self._collected:
            return
        real, real_classes, fake, fake_classes = (torch.cat(parts) for parts in zip(*self._collected, strict=True))
        self._collected = []
        if len(real) < 2:
            return
        model.log(f"{stage}/fid", frechet_distance(real, fake).float())
        if len(real) > NEIGHBORS:
            model.log(f"{stage}/recall", recall(real[:MOST], fake[:MOST]))
        counts = [torch.bincount(classes, minlength=self.features.classes) for classes in (real_classes, fake_classes)]  # type: ignore[union-attr]
        occurring = counts[0] > 0
        ratios = (counts[1] / counts[0])[occurring]
        model.log(f"{stage}/rarest_class", ratios.min())
        model.log(f"{stage}/most_frequent_class", ratios.max())


class Features(nn.Module):
    """The features that a classifier computes of images, and the classes that it predicts.

    Args:
        file: a safetensors file with the description of its model.

    Raises:
        InputError: if the file cannot be read or does not hold a classifier of images.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        from safetensors import safe_open

        try:
            with safe_open(file, "pt") as content:
                description = json.loads((content.metadata() or {})["primer"])
                state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            spec = Spec.from_dict(description["spec"])
            objective = instantiate(description["objective"], Objective, target=spec.target)
            model: Any = instantiate(description["model"], Model, spec=spec, objective=objective)
            model.load_state_dict(state)
        except InputError:
            raise
        except Exception as error:  # Each kind of damage raises a different exception.
            raise InputError(f"{file} is not a model that Primer has exported as safetensors") from error
        if not isinstance(spec.input, Image) or not isinstance(getattr(model, "head", None), nn.Linear):
            raise InputError(f"{file} is not a classifier of images")
        self.image, self.head, self.classes = spec.input, model.head, model.head.out_features
        model.head = nn.Identity()
        self.model = model.requires_grad_(False).eval()

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the images."""
        return self.image.channels, self.image.height, self.image.width

    def forward(self, images: Tensor, kind: Image) -> tuple[Float[Tensor, "batch features"], Tensor]:
        """Returns the features and the predicted classes of images that are standardized as ``kind`` says."""
        to = images.device
        pixels = images
        if kind.mean:
            mean, std = (torch.tensor(each, device=to).view(-1, 1, 1) for each in (kind.mean, kind.std))
            pixels = pixels * std + mean
        if self.image.mean:
            mean, std = (torch.tensor(each, device=to).view(-1, 1, 1) for each in (self.image.mean, self.image.std))
            pixels = (pixels - mean) / std
        features = self.model(pixels)
        return features, self.head(features).argmax(1)


def frechet_distance(first: Float[Tensor, "n features"], second: Float[Tensor, "m features"]) -> Float[Tensor, ""]:
    """Returns the Fréchet distance of normal distributions that are fitted to two sets, in double precision."""
    (mean, covariance), (other_mean, other_covariance) = (
        (each.mean(0), each.T.cov().reshape(each.shape[1], -1))
        for each in (first.cpu().double(), second.cpu().double())
    )
    roots = torch.linalg.eigvals(covariance @ other_covariance).real.clamp(min=0).sqrt()
    trace = covariance.trace() + other_covariance.trace() - 2 * roots.sum()
    return (mean - other_mean).square().sum() + trace


def recall(real: Float[Tensor, "n features"], fake: Float[Tensor, "m features"]) -> float:
    """Returns the fraction of real samples that are closer to a generated sample than that is to its ``NEIGHBORS``-th
    nearest generated one."""
    between = torch.cdist(fake, fake)
    radii = between.kthvalue(1 + NEIGHBORS, dim=1).values  # The nearest is the sample itself.
    return (torch.cdist(real, fake) <= radii).any(1).float().mean().item()
