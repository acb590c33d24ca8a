"""Samples of a generative model during training and at the end of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.errors import InputError
from primer.models.base import Model
from primer.models.generative.generative import Generative
from primer.reports.images import original
from primer.reports.latent_space import draw_rows
from primer.reports.publish import log_failure, publish
from primer.spec import Image

SHOWN, EPOCHS, SHEET = 10, 12, 8
"""The number of samples of an epoch, the largest number of epochs that are kept, and the number of rows and columns of
samples at the end of the test."""


class GeneratedSamples(Callback):
    """Draws images that a generative model generates; other models and other data are skipped:

    - ``samples_over_time.png``: samples from the same noise in up to 12 epochs, drawn at the start of validation, so
      that averaged weights are used where the run averages them;
    - ``samples.png``: samples at the end of the test, each row of one class if the model is conditional.

    Args:
        dirpath: the directory of the pictures.
        every_n_epochs: how often samples are drawn in training, less often in a long run; None for never.

    Raises:
        InputError: if the number is less than 1.
    """

    def __init__(self, dirpath: str | Path, every_n_epochs: int | None = 1) -> None:
        if every_n_epochs is not None and every_n_epochs < 1:
            raise InputError(f"callbacks.generated_samples.every_n_epochs must be at least 1, not {every_n_epochs}")
        self.dirpath, self.every_n_epochs = Path(dirpath), every_n_epochs
        self.drawn: dict[str, Tensor] = {}

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Model, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or not self.every_n_epochs or trainer.sanity_checking or not shows_samples(pl_module):
            return
        epoch, interval = trainer.current_epoch + 1, self.every_n_epochs
        while epoch > EPOCHS * interval:
            interval *= 2
        self.drawn = {name: images for name, images in self.drawn.items() if int(name) % interval == 0}
        if epoch % interval == 0:
            with torch.no_grad():
                images = draw_samples(pl_module, SHOWN)
            self.drawn[str(epoch)] = (images * 255).round().byte()

    def on_fit_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not self.drawn or not trainer.is_global_zero:
            return
        with log_failure(self.dirpath, "samples_over_time"):
            images = torch.stack([images.cpu() for images in self.drawn.values()]) / 255
            labels = [f"epoch {epoch}" for epoch in self.drawn]
            figure = draw_rows(images, labels, "samples from the same noise over time")
            publish(trainer, self.dirpath, "samples_over_time", figure)

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not shows_samples(pl_module):
            return
        with log_failure(self.dirpath, "samples"), trainer.precision_plugin.forward_context(), torch.no_grad():
            assert isinstance(pl_module, Generative)
            names = pl_module.class_names
            rows = min(len(names), 20) or SHEET
            classes = torch.arange(rows).repeat_interleave(SHEET) if names else None
            images = draw_samples(pl_module, rows * SHEET, classes).unflatten(0, (rows, SHEET))
            if trainer.is_global_zero:
                labels = list(names[:rows]) or [""] * rows
                publish(trainer, self.dirpath, "samples", draw_rows(images, labels, "samples"))

    def state_dict(self) -> dict[str, Any]:
        return {"images_by_epoch": self.drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.drawn = state_dict["images_by_epoch"]


def shows_samples(model: Model) -> bool:
    """Returns whether a model generates images."""
    return isinstance(model, Generative) and isinstance(model.spec.input, Image)


def draw_samples(model: Any, count: int, classes: Tensor | None = None) -> Tensor:
    """Returns samples with intensities in [0, 1], always from the same noise, without changing the state of random
    numbers."""
    noise = torch.randn(count, model.noise_size, generator=torch.Generator().manual_seed(0)).to(model.device)
    if classes is None and model.class_names:
        classes = torch.arange(count) % len(model.class_names)
    classes = None if classes is None else classes.to(model.device)
    training = model.training
    model.eval()
    images = original(model.generate(noise, classes), model.spec.input)
    model.train(training)
    return images
