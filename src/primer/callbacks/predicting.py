"""Predictions of a model that a picture needs besides those of the test: over a plane, and of example sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.scaling import unstandardize
from primer.models.base import Model
from primer.objectives.metrics import cut, references
from primer.reports.predictions import Example
from primer.spec import IGNORE, PADDING, Classes, Sequence, Tags, Tokens, Vector

RESOLUTION = 120
"""The number of points of a grid along each feature."""

Extent = tuple[float, float, float, float]


def plane(model: Model, points: Tensor) -> tuple[Tensor, Extent]:
    """Returns the predictions over a grid around points ``(samples, 2)``, a row per value of the second feature, and
    the left, right, lower and upper end of the grid in the unit of the data."""
    features = model.spec.input
    assert isinstance(features, Vector)
    low, high = points.amin(0), points.amax(0)
    margin = (high - low) * 0.08 + 1e-6
    low, high = low - margin, high + margin
    steps = torch.linspace(0, 1, RESOLUTION, device=points.device)[:, None] * (high - low) + low
    columns, rows = torch.meshgrid(steps[:, 0], steps[:, 1], indexing="xy")
    batch = Batch(torch.stack([columns.flatten(), rows.flatten()], 1).to(points.dtype))
    predicted = model.predict_batch(batch)
    values = predicted if isinstance(model.spec.target, Classes) else predicted[:, 0]
    (left, lower), (right, upper) = unstandardize(torch.stack([low, high]).cpu(), features).tolist()
    return values.view(RESOLUTION, RESOLUTION), (left, right, lower, upper)


def sequence_examples(model: Model, inputs: Tensor, targets: Tensor, lengths: Tensor) -> list[list[Example]]:
    """Returns the words, the prediction and the target of a few tagged or translated samples, with their mistakes."""
    source, target = model.spec.input, model.spec.target
    assert isinstance(source, Tokens)
    predicted = model.predict_batch(Batch(inputs, targets, lengths.cpu()))
    words = inputs[..., 0] if inputs.ndim == 3 else inputs
    examples = []
    for k, length in enumerate(lengths.tolist()):
        names = [source.vocabulary[index] for index in words[k, :length].tolist()]
        none = [False] * len(names)
        if isinstance(target, Tags):
            pairs = [
                (target.names[guess], target.names[true])
                for guess, true in zip(predicted[k, :length].tolist(), targets[k, :length].tolist(), strict=True)
            ]
            wrong = [guess != true for guess, true in pairs]
            lines = [Example("predicted", [guess for guess, _ in pairs], wrong)]
            lines.append(Example("true", [true for _, true in pairs], wrong))
            examples.append([Example("words", names, none), *lines])
        elif isinstance(target, Sequence):
            true = references(targets[k : k + 1].masked_fill(targets[k : k + 1] == PADDING, IGNORE), target.end)[0]
            guess = cut(predicted[k : k + 1], target.end, PADDING)[0]
            best = guess if guess in true else true[0]
            wrong = [step >= len(best) or token != best[step] for step, token in enumerate(guess)]
            lines = [Example("predicted", [target.vocabulary[token] for token in guess], wrong)]
            lines.append(Example("target", [target.vocabulary[token] for token in best], [False] * len(best)))
            examples.append([Example("input", names, none), *lines])
    return examples
