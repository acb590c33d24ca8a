"""Pictures at the end of a test: what a network has learnt from images, and how it errs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.reports import images as drawing
from primer.reports import layers
from primer.reports.publish import SPREAD, gather_objects, log_failure, publish
from primer.spec import Classes, Image, Values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Pictures(Callback):
    """Draws the test of the run, and shows each picture to Weights & Biases and TensorBoard where they are on:

    - ``confusion.png``, wherever the test has a confusion matrix, be it of images or not;
    - ``filters.png``, where the first layer is a convolution, or linear over all pixels of an image;
    - ``feature_maps.png``: what up to five convolutions make of a few test images, spread over the test part;
    - ``mistakes.png``: the images that are wrong with the highest cross-entropy, or, where numbers are predicted,
      those with the largest absolute error;
    - ``predictions.png``, where numbers are predicted from images: predicted against true.

    Several processes put together what they have seen, and the first one draws, with feature maps of images of its
    own. A picture that fails costs a line, never the run.

    Args:
        dirpath: the folder of the pictures.
        images: how many test images have their feature maps shown; 0 for no such picture.
        mistakes: how many of the worst mistakes are shown; 0 for no such picture.

    Raises:
        ValueError: for a negative number.
    """

    def __init__(self, dirpath: str | Path, images: int = 4, mistakes: int = 16) -> None:
        for name, count in (("images", images), ("mistakes", mistakes)):
            if count < 0:
                raise InputError(f"callbacks.pictures.{name} must be at least 0, not {count}")
        self.dirpath, self.images, self.mistakes = Path(dirpath), images, mistakes
        self._begin()

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._begin()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(pl_module.spec.input, Image) or not self.whole:
            return
        with log_failure(self.dirpath, "mistakes"):
            self.whole = False  # Until this batch is through: a part of the test is no test.
            places = torch.arange(self.seen, self.seen + batch.size, device=batch.inputs.device)
            self.seen += batch.size
            self.examples.offer(places * SPREAD % 2**32, batch.inputs)
            if isinstance(outputs, Tensor) and outputs.ndim == 2:
                self._judge(pl_module, batch, outputs)
            self.whole = True

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        ran: list[layers.Layer] = []
        if self.examples.rows:
            with log_failure(self.dirpath, "feature_maps"), trainer.precision_plugin.forward_context():
                ran = layers.run(pl_module, self.examples.rows[1])  # In each process: weights may be spread over them.
        own = [tensor.cpu() for tensor in self.worst.rows], [pair.cpu() for pair in self.pairs], self.whole
        for rows, pairs, whole in gather_objects(own):
            self.all_worst.offer(*rows)
            self.all_pairs += pairs
            self.whole &= whole
        if not trainer.is_global_zero:
            return
        pictures = {
            "confusion": lambda: confusion(pl_module),
            "filters": lambda: filters(pl_module, ran),
            "feature_maps": lambda: self._feature_maps(pl_module, ran),
            "mistakes": lambda: self._mistakes(pl_module),
            "predictions": lambda: self._predictions(pl_module),
        }
        for name, draw in pictures.items():
            with log_failure(self.dirpath, name):
                figure = draw()
                if figure is not None:
                    publish(trainer, self.dirpath, name, figure)

    # What is kept of a test. Nothing here waits for the device.

    def _begin(self) -> None:
        self.seen, self.whole = 0, True
        self.examples = Top(max(1, self.images))
        self.worst, self.all_worst = Top(self.mistakes), Top(self.mistakes)
        self.pairs: list[Tensor] = []
        self.all_pairs: list[Tensor] = []

    def _judge(self, model: Model, batch: Batch, outputs: Tensor) -> None:
        targets, predicted = batch.targets, model.predict(batch, outputs)
        assert targets is not None
        if isinstance(model.spec.target, Classes) and hasattr(model.objective, "log_probabilities"):
            logs: Tensor = model.objective.log_probabilities(outputs)  # type: ignore[operator]
            true, said = (logs.gather(1, classes.unsqueeze(1)).squeeze(1) for classes in (targets, predicted))
            loss = (-true).masked_fill(predicted == targets, -math.inf)
            self.worst.offer(loss, batch.inputs, targets, predicted, said.exp())
        elif isinstance(model.spec.target, Values):
            scale = torch.tensor(model.spec.target.std or 1.0, device=targets.device)
            error = ((predicted - targets) / scale).abs().mean(1)
            self.worst.offer(error, batch.inputs, targets, predicted)
            self.pairs.append(torch.stack([predicted.float(), targets.float()]))

    # The pictures that need it.

    def _feature_maps(self, model: Model, ran: list[layers.Layer]) -> Figure | None:
        maps = layers.feature_maps(ran)
        if not maps or not self.images:
            return None
        assert isinstance(model.spec.input, Image)
        return drawing.draw_feature_maps(drawing.original(self.examples.rows[1], model.spec.input), maps)

    def _mistakes(self, model: Model) -> Figure | None:
        rows = self.all_worst.rows
        wrong = rows[0] != -math.inf if rows else torch.zeros(0)
        if not wrong.any() or not self.whole:
            return None
        assert isinstance(model.spec.input, Image)
        _, images, targets, predicted, *confidence = (row[wrong] for row in rows)
        if isinstance(model.spec.target, Classes):
            names = [drawing.short(name, 18) for name in model.spec.target.names]
            title = "worst mistakes: the true class, what was predicted, and how sure of it"
            trios = zip(targets.tolist(), predicted.tolist(), confidence[0].tolist(), strict=True)
            captions = [f"{names[true]}\n→ {names[said]} ({sure:.0%})" for true, said, sure in trios]
        else:
            title = "largest errors: the true value, what was predicted"
            both = zip(targets.tolist(), predicted.tolist(), strict=True)
            captions = [f"{numbers(true)}\n→ {numbers(said)}" for true, said in both]
        return drawing.draw_captioned(drawing.original(images, model.spec.input), captions, title)

    def _predictions(self, model: Model) -> Figure | None:
        if not self.all_pairs or not self.whole:
            return None
        assert isinstance(model.spec.target, Values)
        predicted, true = torch.cat(self.all_pairs, 1)
        return drawing.draw_predictions(predicted, true, model.spec.target.names)


class Top:
    """The rows with the highest scores of all that were offered; of two with the same, the earlier.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[Tensor] = []

    def offer(self, *rows: Tensor) -> None:
        """Rows side by side: the first dimension counts them, the first tensor is their scores."""
        if rows:
            best = rows[0].argsort(descending=True, stable=True)[: self.size]
            new = [row[best] for row in rows]
            if self.rows:
                new = [torch.cat(pair) for pair in zip(self.rows, new, strict=True)]
                best = new[0].argsort(descending=True, stable=True)[: self.size]
                new = [row[best] for row in new]
            self.rows = new


def confusion(model: Model) -> Figure | None:
    """The confusion matrix of the last test; None where it had none."""
    counts, names = model.evaluation.arrays.get("test", {}).get("confusion"), getattr(model.spec.target, "names", ())
    return None if counts is None else drawing.draw_confusion(counts[: len(names), : len(names)], names)


def filters(model: Model, ran: list[layers.Layer]) -> Figure | None:
    """The filters of the first layer that was run; None where it has none."""
    kernels = layers.first_filters(ran, model.spec.input) if isinstance(model.spec.input, Image) else None
    return None if kernels is None else drawing.draw_filters(kernels)


def numbers(values: list[float]) -> str:
    """Up to three values in a few characters."""
    return ", ".join(f"{value:.3g}" for value in values[:3]) + (", …" if len(values) > 3 else "")
