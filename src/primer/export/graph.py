"""The graph that is exported: a model with its pre-processing, from values in the user's unit to predictions."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from primer.batch import Batch
from primer.data.loading.image_format import image_converter
from primer.data.loading.scaling import to_original
from primer.errors import InputError
from primer.models.base import Model
from primer.spec import (
    Classes,
    Context,
    Cooccurrence,
    Environment,
    Image,
    Interactions,
    MaskedToken,
    NextToken,
    NoTarget,
    Sequence,
    Series,
    Spec,
    Tags,
    Tokens,
    Values,
    Video,
)

DECODED = 40
"""The number of tokens that a sequence model decodes if it has no maximum of its own."""


class Graph(nn.Module):
    """Standardizes raw inputs, runs a model and converts its outputs.

    Inputs are images ``(batch, channels, height, width)`` or videos ``(batch, frames, channels, height, width)`` with
    pixels from 0 to ``spec.input.maximum``, vectors ``(batch, features)`` or series ``(batch, time, features)`` in
    their unit, indices of users and items ``(batch, 2)``, or tokens ``(batch, time)``; and, for models of padded
    sequences, ``lengths`` ``(batch,)``. The output is probabilities of classes, tags or the next token, values in their
    unit, or the tokens of decoded sequences.

    Args:
        model: a trained model, on the CPU. It is put in evaluation mode, and a sequence model decodes greedily, up to a
            fixed number of tokens.

    Raises:
        InputError: if the model has no graph from inputs to predictions.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        check_exportable(model)
        self.model, self.spec = model.eval(), model.spec
        source, target = model.spec.input, model.spec.target
        self.takes_lengths = is_padded(model.spec)
        self.convert = None
        if isinstance(source, Image) and source.native:
            self.convert = image_converter(Image(*source.native), source)  # type: ignore[misc]
        if isinstance(target, Sequence):
            model.max_length = model.max_length or DECODED  # type: ignore[assignment]
            model.beam_size = 1  # type: ignore[assignment]
        scale, shift = scaling(source)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        if not isinstance(self.spec.input, Tokens | Interactions):
            inputs = self.standardize(inputs)
        if isinstance(self.spec.target, Sequence):
            return self.model.predict_batch(Batch(inputs, None, lengths))
        return convert_outputs(self.model, self.model.forward_batch(Batch(inputs, None, lengths)))

    def standardize(self, inputs: Tensor) -> Tensor:
        if isinstance(self.spec.input, Image) and self.convert is not None:
            inputs = self.convert(inputs / self.spec.input.maximum) * self.spec.input.maximum
        return ((inputs - self.shift) * self.scale).float()


def convert_outputs(model: Model, outputs: Tensor) -> Tensor:
    """Converts the outputs of a model to probabilities, or to values in their unit."""
    target, objective = model.spec.target, model.objective
    if isinstance(target, Values):
        return to_original(objective.predict(outputs), target.offset)
    if isinstance(target, Classes):
        return objective.log_probabilities(outputs).exp()  # type: ignore[operator]
    return outputs.float().softmax(-1)


def scaling(kind: Any) -> tuple[Tensor, Tensor]:
    """Returns the factor and the number to subtract before that standardize values in the user's unit."""
    mean = torch.tensor(getattr(kind, "mean", ()) or (0.0,), dtype=torch.float64)
    std = torch.tensor(getattr(kind, "std", ()) or (1.0,), dtype=torch.float64)
    if isinstance(kind, Image | Video):
        mean, std = (part.view(-1, 1, 1) * kind.maximum for part in (mean, std))
    precision = input_type(kind)
    return (1 / std).to(precision), mean.to(precision)


def input_type(kind: Any) -> torch.dtype:
    """Returns the type of the inputs of the graph: values far from zero need double precision."""
    if isinstance(kind, Tokens | Interactions):
        return torch.int64
    return torch.float64 if getattr(kind, "offset", ()) else torch.float32


def check_exportable(model: Model) -> None:
    """Raises ``InputError`` if a model has no graph from inputs to predictions."""
    name, target = type(model).__name__, model.spec.target
    if isinstance(target, NoTarget) or type(model).targets is NoTarget:
        raise InputError(f"{name} learns without targets, and only predictions of targets can be exported")
    if isinstance(target, Context | Cooccurrence):
        raise InputError(f"{name} has no predictions to export, but vectors: use vectors.txt of its run folder")
    if isinstance(model.spec.input, Environment):
        raise InputError(f"{name} acts in an environment, which cannot be exported")
    if type(model).forward is Model.forward:
        raise InputError(f"{name} does not define forward, so there is no graph to export")
    if isinstance(target, Classes) and not hasattr(model.objective, "log_probabilities"):
        raise InputError(f"{type(model.objective).__name__} of {name} does not define probabilities to export")
    if isinstance(target, Sequence) and "lengths" not in inspect.signature(model.forward).parameters:
        raise InputError(f"{name} does not decode from inputs and lengths, so it cannot be exported")


def is_padded(spec: Spec) -> bool:
    """Whether inputs are padded, so that a graph also takes their lengths."""
    if isinstance(spec.input, Series):
        return spec.input.padded
    return isinstance(spec.input, Tokens) and not isinstance(spec.target, NextToken)


def example(spec: Spec, batch: int, time: int, seed: int) -> tuple[Tensor, ...]:
    """Returns random inputs of a graph: ``batch`` samples with up to ``time`` steps if they are sequences."""
    generator = torch.Generator().manual_seed(seed)
    kind = spec.input
    if isinstance(kind, Image):
        shape = kind.native or (kind.channels, kind.height, kind.width)
        return (torch.rand(batch, *shape, generator=generator) * kind.maximum,)
    if isinstance(kind, Video):
        shape = kind.frames, kind.channels, kind.height, kind.width
        return (torch.rand(batch, *shape, generator=generator) * kind.maximum,)
    if isinstance(kind, Interactions):
        sizes = len(kind.users), len(kind.items)
        return (torch.stack([torch.randint(size, (batch,), generator=generator) for size in sizes], 1),)
    if isinstance(kind, Tokens):
        lengths = torch.randint(1, time + 1, (batch,), generator=generator)
        lengths[0] = time
        tokens = torch.randint(1, len(kind.vocabulary), (batch, time), generator=generator)
        if isinstance(spec.target, NextToken):
            return (tokens,)
        real = torch.arange(time) < lengths[:, None]
        if kind.characters:
            letters = torch.randint(1, len(kind.characters), (batch, time, kind.word_length), generator=generator)
            spelled = torch.randint(1, kind.word_length + 1, (batch, time, 1), generator=generator)
            letters = letters * (torch.arange(kind.word_length) < spelled)
            return torch.cat([tokens[..., None], letters], -1) * real[..., None], lengths
        return tokens * real, lengths
    shape = (batch, time, kind.features) if isinstance(kind, Series) else (batch, kind.features)  # type: ignore[union-attr]
    scale, shift = scaling(kind)
    values = (torch.randn(shape, generator=generator) / scale + shift).to(input_type(kind))
    if not is_padded(spec):
        return (values,)
    lengths = torch.randint(1, time + 1, (batch,), generator=generator)
    lengths[0] = time
    return values, lengths


def output_name(spec: Spec) -> str:
    """Returns the name of the output of a graph."""
    if isinstance(spec.target, Sequence):
        return "tokens"
    return "values" if isinstance(spec.target, Values) else "probabilities"


def labels(spec: Spec) -> list[str]:
    """Returns the meaning of the entries of the last dimension of the output, or of the tokens."""
    target = spec.target
    if isinstance(target, NextToken | MaskedToken | Sequence):
        return list(target.vocabulary)
    assert isinstance(target, Classes | Tags | Values)
    return list(target.names)
