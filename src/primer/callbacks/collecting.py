"""Collects samples of a test and their predictions, on the device and in bounded memory, for pictures of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from primer.batch import Batch
from primer.data.audio.features import to_images
from primer.data.loading.scaling import to_original
from primer.models.base import Model
from primer.objectives.model_loss import ModelLoss
from primer.reports.publish import SPREAD, gather_objects
from primer.spec import Classes, Image, Sequence, Spec, Tags, Tokens, Values, Vector, Video, recording_of

POINTS, EXAMPLES, SPECTROGRAMS, COLUMNS = 1000, 5, 16, 64
"""The number of samples shown in a plane, of tagged or translated examples, of recordings shown, and of the columns of
their spectrograms if the model reads them as series."""


class Top:
    """Keeps the rows with the highest scores of all that were offered; the earlier row wins ties.

    Args:
        size: the number of rows to keep.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[Tensor] = []

    def offer(self, *rows: Tensor) -> None:
        """Offers the rows of several tensors with the same first dimension; the first tensor holds their scores. Rows
        of different lengths are padded with zeros."""
        if rows:
            best = rows[0].argsort(descending=True, stable=True)[: self.size]
            new = [row[best] for row in rows]
            if self.rows:
                new = [torch.cat(_same_length(*pair)) for pair in zip(self.rows, new, strict=True)]
                best = new[0].argsort(descending=True, stable=True)[: self.size]
                new = [row[best] for row in new]
            self.rows = new


class Collected:
    """What is collected of a test, according to the types of its inputs and targets:

    - ``examples``: samples spread over the test set: a score, inputs and, for tagged or translated sequences, targets
      and lengths, or, for videos, targets and predictions;
    - ``points``: samples with two features, spread over the test set: a score, inputs, targets;
    - ``spectrograms``: recordings spread over the test set: a score, images, targets, predictions and confidence;
    - ``worst``: misclassified images or images with the largest errors: a score, inputs, targets, predictions and, for
      classes, the confidence;
    - ``pairs``: predicted and true values, and naive forecasts if the values are forecasts, ``(2 or 3, batch,
      values)``.

    Args:
        spec: the types of the inputs and targets.
        images: the number of images or videos in ``examples``.
        mistakes: the number of images in ``worst``.
    """

    def __init__(self, spec: Spec, images: int, mistakes: int) -> None:
        self.spec, self.seen, self.complete = spec, 0, True
        self.shows_images = isinstance(spec.input, Image)
        self.shows_videos = isinstance(spec.input, Video) and isinstance(spec.target, Classes)
        self.is_planar = is_planar(spec)
        self.shows_sequences = isinstance(spec.input, Tokens) and isinstance(spec.target, Tags | Sequence)
        self.examples = Top(max(1, images) if self.shows_images or self.shows_videos else EXAMPLES)
        self.points, self.worst, self.spectrograms = Top(POINTS), Top(mistakes), Top(SPECTROGRAMS)
        self.pairs: list[Tensor] = []

    def add(self, model: Model, batch: Batch, outputs: object) -> None:
        """Adds a batch and the outputs of its test step, without synchronizing with the device."""
        indices = torch.arange(self.seen, self.seen + batch.size, device=batch.inputs.device)
        self.seen += batch.size
        scores = indices * SPREAD % 2**32
        if self.shows_images:
            self.examples.offer(scores, batch.inputs)
        if batch.targets is None or isinstance(model.objective, ModelLoss):  # It does not predict the targets.
            return
        if self.shows_sequences and batch.lengths is not None:
            self.examples.offer(scores, batch.inputs, batch.targets, batch.lengths.to(scores.device))
        if self.shows_videos and isinstance(outputs, Tensor):
            self.examples.offer(scores, batch.inputs, batch.targets, model.predict_batch(batch, outputs))
        if self.is_planar:
            self.points.offer(scores, batch.inputs, batch.targets)
        if isinstance(outputs, Tensor) and outputs.ndim == 2:
            self._add_predictions(model, batch, batch.targets, outputs, scores)

    def gather(self) -> None:
        """Combines what was collected in all processes, apart from the examples."""
        own = [tensor.cpu() for tensor in self.worst.rows], [tensor.cpu() for tensor in self.points.rows]
        gathered = gather_objects((*own, [pair.cpu() for pair in self.pairs], self.complete))
        self.worst, self.points, self.pairs = Top(self.worst.size), Top(self.points.size), []
        for worst, points, pairs, complete in gathered:
            self.worst.offer(*worst)
            self.points.offer(*points)
            self.pairs += [torch.cat(pairs, 1)] if pairs else []
            self.complete &= complete

    def values(self) -> Tensor | None:
        """Returns predicted, true and, for forecasts, naive values, in the unit of the data and the order of the test
        part; None without any."""
        if not self.pairs or not self.complete:
            return None
        # A process has every n-th sample.
        positions = torch.cat([torch.arange(k.shape[1]) * len(self.pairs) + rank for rank, k in enumerate(self.pairs)])
        assert isinstance(self.spec.target, Values)
        return to_original(torch.cat(self.pairs, 1)[:, positions.argsort(stable=True)], self.spec.target.offset)

    def _add_predictions(self, model: Model, batch: Batch, targets: Tensor, outputs: Tensor, scores: Tensor) -> None:
        recorded = recording_of(self.spec.input) is not None
        if isinstance(self.spec.target, Classes) and (self.shows_images or recorded):
            if not hasattr(model.objective, "log_probabilities"):
                return
            predicted = model.predict_batch(batch, outputs)
            logs: Tensor = model.objective.log_probabilities(outputs)  # type: ignore[operator]
            of_target, of_predicted = (logs.gather(1, k.unsqueeze(1)).squeeze(1) for k in (targets, predicted))
            if recorded:
                images = batch.inputs if batch.lengths is None else to_images(batch.inputs, batch.lengths, COLUMNS)
                self.spectrograms.offer(scores, images, targets, predicted, of_predicted.exp())
            if not self.shows_images:
                return
            loss = (-of_target).masked_fill(predicted == targets, -math.inf)
            self.worst.offer(loss, batch.inputs, targets, predicted, of_predicted.exp())
        elif isinstance(self.spec.target, Values):
            predicted = model.predict_batch(batch, outputs)
            rows = [predicted.float(), targets.float()]
            mean, std = self.spec.target.mean, self.spec.target.std or (1.0,)
            scale = torch.tensor(std, device=targets.device)
            if self.shows_images:
                self.worst.offer(((predicted - targets) / scale).abs().mean(1), batch.inputs, targets, predicted)
            if self.spec.target.continues and batch.inputs.ndim == 3:
                last = batch.inputs[:, -1, list(self.spec.target.continues)].float()
                rows.append(last * scale + torch.tensor(mean or (0.0,), device=targets.device))
            self.pairs.append(torch.stack(rows))


def is_planar(spec: Spec) -> bool:
    """Whether samples are points in a plane with one class or one value each."""
    single = isinstance(spec.target, Values) and len(spec.target.names) == 1
    planar = isinstance(spec.input, Vector) and spec.input.features == 2
    return planar and (single or isinstance(spec.target, Classes))


def _same_length(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    if first.ndim < 2 or first.ndim > 3 or first.shape[1] == second.shape[1]:
        return first, second
    length = max(first.shape[1], second.shape[1])
    first, second = (F.pad(x, (*(0, 0) * (x.ndim - 2), 0, length - x.shape[1])) for x in (first, second))
    return first, second
