"""Pictures drawn at the end of the test: what a network learned from images, and its mistakes."""

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
from primer.records.loggers import CSV
from primer.reports import images as drawing
from primer.reports import layers
from primer.reports.curves import draw_curves, read_history
from primer.reports.figures import short
from primer.reports.publish import SPREAD, gather_objects, log_failure, publish
from primer.spec import Classes, Image, Values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Pictures(Callback):
    """Draws pictures of the training and the test, and logs them to Weights & Biases and TensorBoard, if enabled:

    - ``curves.png``: the losses, the monitored metric and the learning rate over the epochs, from ``metrics.csv``;
    - ``confusion.png``: the confusion matrix, if the test has one, whether or not the inputs are images;
    - ``filters.png``: the filters of the first layer, if it is a convolution, or linear over all pixels of an image;
    - ``feature_maps.png``: the outputs of up to five convolutions for a few images spread over the test set;
    - ``mistakes.png``: the misclassified images with the highest cross-entropy, or, for regression, the images with
      the largest absolute error;
    - ``predictions.png``: predicted against true values, for regression on images.

    In distributed runs, the results of all processes are combined and the main process draws them; the feature maps are
    of images from its own part of the test set. An error while drawing prints a warning but never stops the run.

    Args:
        dirpath: the directory of the pictures.
        images: the number of test images whose feature maps are shown; 0 disables that picture.
        mistakes: the number of mistakes shown; 0 disables that picture.

    Raises:
        InputError: if a number is negative.
    """

    def __init__(self, dirpath: str | Path, images: int = 4, mistakes: int = 16) -> None:
        for name, count in (("images", images), ("mistakes", mistakes)):
            if count < 0:
                raise InputError(f"callbacks.pictures.{name} must be at least 0, not {count}")
        self.dirpath, self.images, self.mistakes = Path(dirpath), images, mistakes
        self._reset()

    def on_fit_end(self, trainer: Trainer, pl_module: Model) -> None:
        file = next((logger.path for logger in trainer.loggers if isinstance(logger, CSV)), None)
        if file is None or not file.exists() or not trainer.is_global_zero:
            return
        with log_failure(self.dirpath, "curves"):
            checkpoint = trainer.checkpoint_callback
            goal = getattr(checkpoint, "monitor", None), getattr(checkpoint, "mode", None)
            publish(trainer, self.dirpath, "curves", draw_curves(read_history(file), *goal))

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._reset()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(pl_module.spec.input, Image) or not self.complete:
            return
        with log_failure(self.dirpath, "mistakes"):
            self.complete = False  # Until this batch succeeds: pictures of only part of the test would mislead.
            indices = torch.arange(self.seen, self.seen + batch.size, device=batch.inputs.device)
            self.seen += batch.size
            self.examples.offer(indices * SPREAD % 2**32, batch.inputs)
            if isinstance(outputs, Tensor) and outputs.ndim == 2:
                self._collect(pl_module, batch, outputs)
            self.complete = True

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        ran: list[layers.Layer] = []
        if self.examples.rows:
            with log_failure(self.dirpath, "feature_maps"), trainer.precision_plugin.forward_context():
                ran = layers.run(pl_module, self.examples.rows[1])  # In every process, since weights may be sharded.
        own = [tensor.cpu() for tensor in self.worst.rows], [pair.cpu() for pair in self.pairs], self.complete
        for rows, pairs, complete in gather_objects(own):
            self.all_worst.offer(*rows)
            self.all_pairs += pairs
            self.complete &= complete
        if not trainer.is_global_zero:
            return
        pictures = {
            "confusion": lambda: draw_confusion(pl_module),
            "filters": lambda: draw_filters(pl_module, ran),
            "feature_maps": lambda: self._draw_feature_maps(pl_module, ran),
            "mistakes": lambda: self._draw_mistakes(pl_module),
            "predictions": lambda: self._draw_predictions(pl_module),
        }
        for name, draw in pictures.items():
            with log_failure(self.dirpath, name):
                figure = draw()
                if figure is not None:
                    publish(trainer, self.dirpath, name, figure)

    # Collecting results during the test. Nothing here synchronizes with the device.

    def _reset(self) -> None:
        self.seen, self.complete = 0, True
        self.examples = Top(max(1, self.images))
        self.worst, self.all_worst = Top(self.mistakes), Top(self.mistakes)
        self.pairs: list[Tensor] = []
        self.all_pairs: list[Tensor] = []

    def _collect(self, model: Model, batch: Batch, outputs: Tensor) -> None:
        targets, predicted = batch.targets, model.predict(batch, outputs)
        assert targets is not None
        if isinstance(model.spec.target, Classes) and hasattr(model.objective, "log_probabilities"):
            logs: Tensor = model.objective.log_probabilities(outputs)  # type: ignore[operator]
            of_target, of_predicted = (logs.gather(1, k.unsqueeze(1)).squeeze(1) for k in (targets, predicted))
            loss = (-of_target).masked_fill(predicted == targets, -math.inf)
            self.worst.offer(loss, batch.inputs, targets, predicted, of_predicted.exp())
        elif isinstance(model.spec.target, Values):
            scale = torch.tensor(model.spec.target.std or 1.0, device=targets.device)
            error = ((predicted - targets) / scale).abs().mean(1)
            self.worst.offer(error, batch.inputs, targets, predicted)
            self.pairs.append(torch.stack([predicted.float(), targets.float()]))

    # Drawing pictures of the collected results.

    def _draw_feature_maps(self, model: Model, ran: list[layers.Layer]) -> Figure | None:
        maps = layers.feature_maps(ran)
        if not maps or not self.images:
            return None
        assert isinstance(model.spec.input, Image)
        return drawing.draw_feature_maps(drawing.original(self.examples.rows[1], model.spec.input), maps)

    def _draw_mistakes(self, model: Model) -> Figure | None:
        rows = self.all_worst.rows
        wrong = rows[0] != -math.inf if rows else torch.zeros(0)
        if not wrong.any() or not self.complete:
            return None
        assert isinstance(model.spec.input, Image)
        _, images, targets, predicted, *confidence = (row[wrong] for row in rows)
        if isinstance(model.spec.target, Classes):
            names = [short(name, 18) for name in model.spec.target.names]
            title = "worst mistakes: true class → predicted class (confidence)"
            triples = zip(targets.tolist(), predicted.tolist(), confidence[0].tolist(), strict=True)
            captions = [f"{names[true]}\n→ {names[guess]} ({probability:.0%})" for true, guess, probability in triples]
        else:
            title = "largest errors: true value → predicted value"
            pairs = zip(targets.tolist(), predicted.tolist(), strict=True)
            captions = [f"{format_values(true)}\n→ {format_values(guess)}" for true, guess in pairs]
        return drawing.draw_captioned(drawing.original(images, model.spec.input), captions, title)

    def _draw_predictions(self, model: Model) -> Figure | None:
        if not self.all_pairs or not self.complete:
            return None
        assert isinstance(model.spec.target, Values)
        predicted, true = torch.cat(self.all_pairs, 1)
        return drawing.draw_predictions(predicted, true, model.spec.target.names)


class Top:
    """Keeps the rows with the highest scores of all that were offered; the earlier row wins ties.

    Args:
        size: the number of rows to keep.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[Tensor] = []

    def offer(self, *rows: Tensor) -> None:
        """Offers the rows of several tensors with the same first dimension; the first tensor holds their scores."""
        if rows:
            best = rows[0].argsort(descending=True, stable=True)[: self.size]
            new = [row[best] for row in rows]
            if self.rows:
                new = [torch.cat(pair) for pair in zip(self.rows, new, strict=True)]
                best = new[0].argsort(descending=True, stable=True)[: self.size]
                new = [row[best] for row in new]
            self.rows = new


def draw_confusion(model: Model) -> Figure | None:
    """Draws the confusion matrix of the last test; None if it has none."""
    counts, names = model.evaluation.arrays.get("test", {}).get("confusion"), getattr(model.spec.target, "names", ())
    return None if counts is None else drawing.draw_confusion(counts[: len(names), : len(names)], names)


def draw_filters(model: Model, ran: list[layers.Layer]) -> Figure | None:
    """Draws the filters of the first layer that was run; None if it has none."""
    kernels = layers.first_filters(ran, model.spec.input) if isinstance(model.spec.input, Image) else None
    return None if kernels is None else drawing.draw_filters(kernels)


def format_values(values: list[float]) -> str:
    """Formats up to three values concisely."""
    return ", ".join(f"{value:.3g}" for value in values[:3]) + (", …" if len(values) > 3 else "")
