"""Pictures of a run: its learning curves, and at the end of the test what it learned, its predictions and mistakes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer

from primer.batch import Batch
from primer.callbacks.collecting import Collected
from primer.callbacks.predicting import plane, sequence_examples
from primer.data.base import DataModule
from primer.data.loading.scaling import unstandardize
from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.models.layers.activations import activation_functions
from primer.objectives import ModelLoss
from primer.records.loggers import CSV
from primer.reports import images as drawing
from primer.reports import layers, predictions
from primer.reports.activations import draw_activations
from primer.reports.curves import draw_curves, read_history
from primer.reports.figures import short
from primer.reports.publish import log_failure, publish
from primer.spec import Classes, Image, NoTarget, Spec, Tags, Values, Vector, Video

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERSIONS = 6
"""The number of times that each image is augmented in a sheet of augmented images."""

FRAMES = 8
"""The maximum number of frames shown of a video."""


class Pictures(Callback):
    """Draws pictures of the training and the test, and logs them to Weights & Biases and TensorBoard, if enabled:

    - ``curves.png``: the losses, the monitored metric and the learning rate over the epochs, from ``metrics.csv``;
    - ``augmented.png``: training images after augmentation, if ``augmented`` is not 0;
    - ``confusion.png``: the confusion matrix, if the test has one;
    - ``probabilities.png``: calibration, and precision against recall, for classes;
    - ``predictions.png``: predicted against true values, and residuals, for regression;
    - ``forecast.png``: forecasts, the truth and the naive forecast over time, for series;
    - ``regions.png``: the predicted classes or values over the plane, for data with two features;
    - ``examples.png``: a few tagged or translated test samples, with their mistakes;
    - ``frames.png``: frames of a few test videos, with the true and the predicted class;
    - ``spectrograms.png``: a few recordings spread over the test set, with the true and the predicted class;
    - ``activations.png``: the activation function and its derivative, for models whose activation can be chosen;
    - ``filters.png``: the filters of the first layer, if it is a convolution, or linear over all pixels of an image;
    - ``feature_maps.png``: the outputs of up to five convolutions for a few images spread over the test set;
    - ``mistakes.png``: the misclassified images with the highest cross-entropy, or, for regression, the images with
      the largest absolute error;
    - those of the model itself, such as ``tree.png`` or ``clusters.png``: see ``Model.pictures``.

    In distributed runs, the results of all processes are combined and the main process draws them; the feature maps and
    the examples are of samples from its own part of the test set. An error while drawing prints a warning but never
    stops the run.

    Args:
        dirpath: the directory of the pictures.
        images: the number of test images whose feature maps, or of test videos whose frames are shown; 0 disables that
            picture.
        mistakes: the number of mistakes shown; 0 disables that picture.
        augmented: the number of training images shown after augmentation; 0 disables that picture.

    Raises:
        InputError: if a number is negative.
    """

    collected: Collected

    def __init__(self, dirpath: str | Path, images: int = 4, mistakes: int = 16, augmented: int = 0) -> None:
        for name, count in (("images", images), ("mistakes", mistakes), ("augmented", augmented)):
            if count < 0:
                raise InputError(f"callbacks.pictures.{name} must be at least 0, not {count}")
        self.dirpath, self.images, self.mistakes, self.augmented = Path(dirpath), images, mistakes, augmented

    def on_fit_start(self, trainer: Trainer, pl_module: Model) -> None:
        data = getattr(trainer, "datamodule", None)
        if self.augmented and trainer.is_global_zero and isinstance(data, DataModule):
            with log_failure(self.dirpath, "augmented"):
                figure = draw_augmented(data, self.augmented)
                if figure is not None:
                    publish(trainer, self.dirpath, "augmented", figure)

    def on_fit_end(self, trainer: Trainer, pl_module: Model) -> None:
        file = next((logger.path for logger in trainer.loggers if isinstance(logger, CSV)), None)
        if file is None or not file.exists() or not trainer.is_global_zero or isinstance(pl_module, SinglePass):
            return
        with log_failure(self.dirpath, "curves"):
            checkpoint = trainer.checkpoint_callback
            goal = getattr(checkpoint, "monitor", None), getattr(checkpoint, "mode", None)
            publish(trainer, self.dirpath, "curves", draw_curves(read_history(file), *goal))

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        spec = pl_module.spec
        if isinstance(pl_module.objective, ModelLoss):  # The model does not predict the targets.
            spec = Spec(spec.input, NoTarget())
        self.collected = Collected(spec, self.images, self.mistakes)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.collected.complete or not isinstance(batch, Batch):
            return
        with log_failure(self.dirpath, "mistakes" if self.collected.shows_images else "predictions"):
            self.collected.complete = (
                False  # Until this batch succeeds: pictures of only part of the test would mislead.
            )
            self.collected.add(pl_module, batch, outputs)
            self.collected.complete = True

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        collected, examples = self.collected, self.collected.examples.rows
        ran: list[layers.Layer] = []
        grid, shown = None, []
        # In every process, since weights may be sharded.
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            if examples and collected.shows_images:
                with log_failure(self.dirpath, "feature_maps"):
                    ran = layers.run(pl_module, examples[1])
            if collected.points.rows:
                with log_failure(self.dirpath, "regions"):
                    grid = plane(pl_module, collected.points.rows[1])
            if examples and collected.shows_sequences:
                with log_failure(self.dirpath, "examples"):
                    shown = sequence_examples(pl_module, *examples[1:])
        collected.gather()
        if not trainer.is_global_zero:
            return
        tags = isinstance(pl_module.spec.target, Tags)
        title = "tags that are wrong are red" if tags else "tokens that differ from the target are red"
        pictures = {
            "confusion": lambda: draw_confusion(pl_module),
            "probabilities": lambda: draw_probabilities(pl_module),
            "activations": lambda: draw_activation(pl_module),
            "filters": lambda: draw_filters(pl_module, ran),
            "feature_maps": lambda: self._draw_feature_maps(pl_module, ran),
            "spectrograms": lambda: self._draw_spectrograms(pl_module),
            "mistakes": lambda: self._draw_mistakes(pl_module),
            "predictions": lambda: self._draw_predictions(pl_module),
            "forecast": lambda: self._draw_forecast(pl_module),
            "regions": lambda: self._draw_regions(pl_module, grid),
            "examples": lambda: predictions.draw_examples(shown, title) if shown else None,
            "frames": lambda: self._draw_frames(pl_module),
            **pl_module.pictures(),
        }
        for name, draw in pictures.items():
            with log_failure(self.dirpath, name):
                figure = draw()
                if figure is not None:
                    publish(trainer, self.dirpath, name, figure)

    # Drawing pictures of the collected results.

    def _draw_feature_maps(self, model: Model, ran: list[layers.Layer]) -> Figure | None:
        maps = layers.feature_maps(ran)
        if not maps or not self.images:
            return None
        assert isinstance(model.spec.input, Image)
        return drawing.draw_feature_maps(drawing.original(self.collected.examples.rows[1], model.spec.input), maps)

    def _draw_frames(self, model: Model) -> Figure | None:
        rows = self.collected.examples.rows
        if not self.collected.shows_videos or not rows or not self.images:
            return None
        assert isinstance(model.spec.input, Video)
        assert isinstance(model.spec.target, Classes)
        _, videos, targets, predicted = rows
        chosen = torch.linspace(0, videos.shape[1] - 1, min(FRAMES, videos.shape[1])).round().long()
        names, captions = [short(name, 18) for name in model.spec.target.names], []
        for true, guess in zip(targets.tolist(), predicted.tolist(), strict=True):
            captions += [f"{names[true]}\n→ {names[guess]}", *[f"frame {k + 1}" for k in chosen[1:].tolist()]]
        frames = drawing.original(videos[:, chosen.to(videos.device)].flatten(0, 1), model.spec.input)
        return drawing.draw_captioned(frames, captions, "test videos: true class → predicted class", len(chosen))

    def _draw_mistakes(self, model: Model) -> Figure | None:
        rows = self.collected.worst.rows
        wrong = rows[0] != -math.inf if rows else torch.zeros(0)
        if not wrong.any() or not self.collected.complete:
            return None
        assert isinstance(model.spec.input, Image)
        _, images, targets, predicted, *confidence = (row[wrong] for row in rows)
        if isinstance(model.spec.target, Classes):
            title = "worst mistakes: true class → predicted class (confidence)"
            captions = caption_classes(model.spec.target, targets, predicted, confidence[0])
        else:
            title = "largest errors: true value → predicted value"
            pairs = zip(targets.tolist(), predicted.tolist(), strict=True)
            captions = [f"{format_values(true)}\n→ {format_values(guess)}" for true, guess in pairs]
        return drawing.draw_captioned(drawing.original(images, model.spec.input), captions, title)

    def _draw_spectrograms(self, model: Model) -> Figure | None:
        if not self.collected.spectrograms.rows or not self.collected.complete:
            return None
        kind, target = model.spec.input, model.spec.target
        assert isinstance(target, Classes)
        _, images, *classes = self.collected.spectrograms.rows
        images = drawing.original(images, kind) if isinstance(kind, Image) else images
        title = "recordings, high frequencies on top: true class → predicted class (confidence)"
        return drawing.draw_captioned(images, caption_classes(target, *classes), title)

    def _draw_predictions(self, model: Model) -> Figure | None:
        values = self.collected.values()
        if values is None:
            return None
        assert isinstance(model.spec.target, Values)
        return predictions.draw_predictions(values[0], values[1], model.spec.target.names)

    def _draw_forecast(self, model: Model) -> Figure | None:
        values = self.collected.values()
        if values is None or len(values) < 3:
            return None
        assert isinstance(model.spec.target, Values)
        return predictions.draw_forecast(values[0], values[1], values[2], model.spec.target.names)

    def _draw_regions(self, model: Model, grid: tuple[torch.Tensor, tuple[float, ...]] | None) -> Figure | None:
        if grid is None or not self.collected.points.rows or not self.collected.complete:
            return None
        features, target = model.spec.input, model.spec.target
        assert isinstance(features, Vector)
        values, (left, right, low, high) = grid
        _, points, truth = self.collected.points.rows
        points, names = unstandardize(points, features), features.names or ("first feature", "second feature")
        if isinstance(target, Classes):
            return predictions.draw_regions(values, (left, right, low, high), points, truth, (names, target.names))
        assert isinstance(target, Values)
        return predictions.draw_surface(values, (left, right, low, high), points, truth[:, 0], (names, target.names[0]))


def caption_classes(
    target: Classes, targets: torch.Tensor, predicted: torch.Tensor, confidence: torch.Tensor
) -> list[str]:
    """Returns two lines for each sample: its class, and the predicted one with its probability."""
    names = [short(name, 18) for name in target.names]
    triples = zip(targets.tolist(), predicted.tolist(), confidence.tolist(), strict=True)
    return [f"{names[true]}\n→ {names[guess]} ({probability:.0%})" for true, guess, probability in triples]


def draw_confusion(model: Model) -> Figure | None:
    """Draws the confusion matrix of the last test; None if it has none."""
    counts, names = model.evaluation.arrays.get("test", {}).get("confusion"), getattr(model.spec.target, "names", ())
    return None if counts is None else drawing.draw_confusion(counts[: len(names), : len(names)], names)


def draw_activation(model: Model) -> Figure | None:
    """Draws the activation function of a model that takes one as an argument; None for any other model."""
    functions = activation_functions(model) if "activation" in model.hparams else {}
    return draw_activations(functions) if functions else None


def draw_filters(model: Model, ran: list[layers.Layer]) -> Figure | None:
    """Draws the filters of the first layer that was run; None if it has none."""
    kernels = layers.first_filters(ran, model.spec.input) if isinstance(model.spec.input, Image) else None
    return None if kernels is None else drawing.draw_filters(kernels)


def format_values(values: list[float]) -> str:
    """Formats up to three values concisely."""
    return ", ".join(f"{value:.3g}" for value in values[:3]) + (", …" if len(values) > 3 else "")


def draw_probabilities(model: Model) -> Figure | None:
    """Draws the calibration and the precision–recall curves of the last test; None if it has no probabilities."""
    arrays, target = model.evaluation.arrays.get("test", {}), model.spec.target
    if "reliability" not in arrays or not isinstance(target, Classes):
        return None
    scores, names = arrays.get("scores"), list(target.names)
    if scores is None:
        return predictions.draw_probabilities(arrays["reliability"], None, names, 0)
    if len(scores) != len(names):
        names = [target.names[target.positive]] if len(names) == 2 else ["all classes"]
    frequency = scores[..., 1].sum().item() / max(1, scores.sum().item())
    return predictions.draw_probabilities(arrays["reliability"], scores, names, frequency)


def draw_augmented(data: DataModule, count: int) -> Figure | None:
    """Draws training images, and how they look after augmentation, ``VERSIONS`` times; None if they are not images or
    not augmented."""
    kind, train = data.spec.input, data.loader("train", train=True).transform
    if not isinstance(kind, Image) or train is None or not data.augmentation:
        return None
    plain = data.loader("train", train=False).transform
    assert plain is not None
    rows = torch.arange(min(count, data.sizes()["train"]))
    generator = torch.Generator().manual_seed(0)
    versions = [plain, *[train] * VERSIONS]
    sheets = [version(data.parts["train"].select(rows), generator).inputs for version in versions]
    tiles = torch.stack(sheets, 1).flatten(0, 1)
    captions = ["original", *["augmented"] * VERSIONS] * len(rows)
    return drawing.draw_captioned(drawing.original(tiles, kind), captions, "training images", columns=1 + VERSIONS)
