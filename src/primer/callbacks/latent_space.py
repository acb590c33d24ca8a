"""Pictures of the codes that a model has learned without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.callbacks.collecting import Top
from primer.errors import InputError
from primer.models.base import Model
from primer.models.generative.autoencoder import Autoencoder
from primer.models.generative.coder import Coder
from primer.models.self_supervised.backbone import Pretraining
from primer.reports.images import original
from primer.reports.latent_space import draw_latent_map, draw_rows
from primer.reports.publish import SPREAD, log_failure, publish
from primer.spec import Classes, Image

SHOWN, SAMPLES, VALUES = 10, 2000, 20_000_000
"""The number of samples in a row, and the largest numbers of samples of a map and of all their values."""

NEIGHBORS, STEPS = 8, 10
"""The number of nearest neighbors of a sample, and of steps from one sample to another."""


class LatentSpace(Callback):
    """Draws what an autoencoder or a model that pre-trains another has learned, at the end of the test; other models
    are skipped:

    - ``reconstructions.png``: images above their reconstructions, and corrupted ones if the model denoises;
    - ``interpolations.png``: what is decoded between the codes of two images;
    - ``latent_map.png``: codes in a plane, colored by class if the data has classes;
    - ``neighbors.png``: images beside those with the nearest codes.

    In distributed runs, the samples are those of the main process.

    Args:
        dirpath: the directory of the pictures.
        samples: the number of samples in the map and among which neighbors are searched; 0 draws nothing.

    Raises:
        InputError: if the number is negative.
    """

    def __init__(self, dirpath: str | Path, samples: int = SAMPLES) -> None:
        if samples < 0:
            raise InputError(f"callbacks.latent_space.samples must be at least 0, not {samples}")
        self.dirpath, self.samples = Path(dirpath), samples
        self.seen = 0
        self.collected = Top(0)

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        size = getattr(pl_module.spec.input, "size", 1)
        self.seen, self.collected = 0, Top(min(self.samples, max(SHOWN, VALUES // size)))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if (
            not self.samples
            or not isinstance(pl_module, Coder | Pretraining)
            or not isinstance(batch, Batch)
            or not batch.size
        ):
            return
        size = batch.size // pl_module.views  # Of several views of each sample, the first.
        inputs = batch.inputs[:size]
        scores = torch.arange(self.seen, self.seen + size, device=inputs.device) * SPREAD % 2**32
        self.seen += size
        with torch.no_grad():
            codes = pl_module.encode(inputs)
        targets = batch.targets
        has_classes = targets is not None and targets.ndim == 1 and not targets.is_floating_point()
        classes = targets[:size] if targets is not None and has_classes else torch.full_like(scores, -1)
        self.collected.offer(scores, inputs, codes, classes)

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        rows, self.collected = self.collected.rows, Top(0)
        if not rows or not isinstance(pl_module, Coder | Pretraining) or not trainer.is_global_zero:
            return
        _, inputs, codes, classes = rows
        data = getattr(trainer, "datamodule", None)
        target = data.spec.target if data is not None else None
        names = target.names if isinstance(target, Classes) else ()
        pictures = {"latent_map": lambda: draw_latent_map(codes, classes if (classes >= 0).all() else None, names)}
        if isinstance(pl_module.spec.input, Image):
            image = pl_module.spec.input
            pictures["neighbors"] = lambda: draw_neighbors(inputs, codes, image)
            if isinstance(pl_module, Coder):
                coder = pl_module
                pictures["reconstructions"] = lambda: draw_reconstructions(coder, inputs[:SHOWN], image)
                pictures["interpolations"] = lambda: draw_interpolations(coder, codes, image)
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            for name, draw in pictures.items():
                with log_failure(self.dirpath, name):
                    publish(trainer, self.dirpath, name, draw())


def draw_reconstructions(model: Coder, inputs: Tensor, image: Image) -> Any:
    """Draws images above their reconstructions."""
    rows = {"original": inputs}
    if isinstance(model, Autoencoder) and model.denoising:
        generator = torch.Generator(inputs.device).manual_seed(0)
        rows["corrupted"] = model.corrupt(inputs, generator)
        rows["denoised"] = model(rows["corrupted"])
    rows["reconstructed"] = model(inputs)
    images = torch.stack([original(row, image) for row in rows.values()])
    return draw_rows(images, list(rows), f"test images and what is left of them in {model.code_size} numbers")


def draw_interpolations(model: Coder, codes: Tensor, image: Image) -> Any:
    """Draws what is decoded on straight lines between pairs of codes."""
    count = min(5, len(codes) // 2)
    steps = torch.linspace(0, 1, STEPS, device=codes.device).view(1, -1, 1)
    lines = codes[:count, None] * (1 - steps) + codes[count : 2 * count, None] * steps
    decoded = model.decode(lines.flatten(0, 1))
    return draw_rows(
        original(decoded, image).unflatten(0, (count, STEPS)), [""] * count, "from one code to another, in equal steps"
    )


def draw_neighbors(inputs: Tensor, codes: Tensor, image: Image) -> Any:
    """Draws images, each followed by those with the nearest codes."""
    count = min(6, len(codes))
    distances = torch.cdist(codes[:count].float(), codes.float())
    nearest = distances.topk(min(1 + NEIGHBORS, len(codes)), largest=False).indices
    tiles = original(inputs[nearest.flatten()], image).unflatten(0, tuple(nearest.shape))
    return draw_rows(tiles, [""] * count, "test images (left) and those with the nearest codes")
