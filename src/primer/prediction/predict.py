"""Runs a model on raw inputs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from primer.batch import Batch
from primer.data.loading.image_format import image_converter
from primer.data.loading.loader import TensorLoader
from primer.data.loading.scaling import standardize
from primer.errors import InputError
from primer.objectives import ModelLoss
from primer.prediction.encoded import Encoded
from primer.prediction.images import as_pictures, encode_images
from primer.prediction.interactions import encode_interactions
from primer.prediction.predictions import Outcome, Predictions, concatenate, decode
from primer.prediction.recordings import as_recordings, encode_recordings
from primer.prediction.series import encode_series
from primer.prediction.tables import encode_table
from primer.prediction.texts import encode_texts
from primer.prediction.videos import encode_videos
from primer.spec import (
    Classes,
    Context,
    Cooccurrence,
    Image,
    Interactions,
    MaskedToken,
    NextToken,
    NoTarget,
    Series,
    Spec,
    Tags,
    Tokens,
    Values,
    Vector,
    Video,
    recording_of,
)
from primer.spec import Sequence as SequenceTarget

BATCH_SIZE = 1024
"""The default batch size."""

log = logging.getLogger(__name__)


class TrainedModel(Protocol):
    """What is used of a model."""

    spec: Spec
    objective: Any
    training: bool
    config: dict[str, Any]

    @property
    def device(self) -> torch.device: ...
    @property
    def predicted(self) -> Spec: ...
    @property
    def longest_input(self) -> int | None: ...
    def forward_batch(self, batch: Batch) -> Tensor: ...
    def predict_batch(self, batch: Batch, outputs: Tensor | None = None) -> Tensor: ...
    def train(self, mode: bool = True) -> Any: ...


def predict(model: TrainedModel, inputs: Any, batch_size: int | None = None) -> Predictions:
    """Predicts from raw inputs, which are encoded as the spec of the model describes. See ``Model.predict``.

    Raises:
        InputError: if an input does not fit the model.
    """
    items = None
    if recording_of(model.spec.input):
        items = as_recordings(inputs)
    elif isinstance(model.spec.input, Image):
        items = as_pictures(inputs)
    size = batch_size or default_batch_size(model)
    chunks = [items[k : k + size] for k in range(0, len(items), size)] if items else [inputs]
    parts, unseen = [], Counter()
    for chunk in chunks:
        encoded = encode(model.predicted, chunk, model.longest_input)
        for position, error in encoded.errors.items():
            raise InputError(f"inputs[{position + len(parts) * size}]: {error}")
        unseen += encoded.unseen
        parts.append(predict_encoded(model, encoded, size))
    if unseen:
        log.warning("%s", describe_unseen(unseen))
    return concatenate(parts)


def encode(spec: Spec, inputs: Any, longest: int | None = None) -> Encoded:
    """Encodes raw inputs; see the functions for the types of inputs. A sequence of more than ``longest`` tokens is a
    problem.

    Raises:
        InputError: if the inputs as a whole do not fit. Problems of single inputs are collected instead.
    """
    if isinstance(spec.target, NoTarget):
        raise InputError("this model was trained without targets, so there is nothing to predict")
    if isinstance(spec.target, MaskedToken):
        raise InputError("this model predicts hidden tokens only: train it for tags or classes with weights=RUN")
    if isinstance(spec.target, Context | Cooccurrence):
        raise InputError("this model learns word vectors and predicts nothing: use vectors.txt of its run folder")
    if isinstance(inputs, Batch):
        raise InputError("predict expects raw inputs; predict_batch is for batches of a data loader")
    if isinstance(spec.input, Image | Series) and spec.input.recording:
        return encode_recordings(spec.input, inputs)
    if isinstance(spec.input, Image):
        return encode_images(spec.input, inputs)
    if isinstance(spec.input, Video):
        return encode_videos(spec.input, inputs)
    if isinstance(spec.input, Vector):
        return encode_table(spec.input, inputs)
    if isinstance(spec.input, Interactions):
        return encode_interactions(spec.input, inputs)
    if isinstance(spec.input, Series):
        return encode_series(spec.input, inputs)
    if isinstance(spec.input, Tokens):
        return encode_texts(spec, inputs, longest)
    raise InputError(f"predict does not support inputs of type {type(spec.input).__name__}")


def predict_encoded(model: TrainedModel, encoded: Encoded, batch_size: int) -> Predictions:
    """Predicts from encoded inputs, in their order. Batches are those of a test on the same samples, in which samples
    of similar length share a batch, so that the results are the same to the last digit."""
    if isinstance(model.objective, ModelLoss) and model.predicted == model.spec:
        raise InputError(f"{type(model).__name__} was trained without targets, so there is nothing to predict")
    spec, data = model.spec, encoded.batch
    loader = TensorLoader(
        data,
        batch_size,
        transform=transform(spec, encoded),
        device=model.device,
        lengths=data.lengths,
        repeatable=True,
        tagged=False,
    )
    order = torch.arange(data.size) if data.lengths is None else data.lengths.argsort(stable=True)
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            parts = list(_decoded(model, loader, order, encoded.tokens))
    finally:
        model.train(training)
    if not parts:
        raise InputError("there are no inputs")
    return reorder(concatenate(parts), order.argsort().tolist())


def transform(spec: Spec, encoded: Encoded) -> Any:
    """Returns the function that expands, converts and standardizes each batch, as a data set does."""
    scale, convert = standardize(spec.input), None
    if isinstance(spec.input, Image) and spec.input.native:
        channels, height, width = spec.input.native
        convert = image_converter(Image(channels, height, width), spec.input)
    if scale is None and encoded.unpack is None and convert is None:
        return None

    def apply(batch: Batch, generator: torch.Generator) -> Batch:
        batch = batch if encoded.unpack is None else encoded.unpack(batch)
        inputs = batch.inputs if convert is None else convert(batch.inputs)
        return batch if scale is None else batch._replace(inputs=scale(inputs))

    return apply


def compute(model: TrainedModel, batch: Batch, outputs: Tensor | None, predictions: Tensor | None = None) -> Outcome:
    """Returns what a model computes for a batch.

    Args:
        model: the model.
        batch: the batch, on its device.
        outputs: the model's outputs for it; None for sequences, which are decoded instead.
        predictions: the predictions, if they were computed already.
    """
    target, objective = model.predicted.target, model.objective
    if predictions is None:
        predictions = model.predict_batch(batch, outputs)
    probabilities = std = None
    if isinstance(target, Classes) and outputs is not None and hasattr(objective, "log_probabilities"):
        probabilities = objective.log_probabilities(outputs).exp().cpu()
    if isinstance(target, Values) and outputs is not None and hasattr(objective, "standard_deviation"):
        std = objective.standard_deviation(outputs).cpu()
    return Outcome(predictions.cpu(), probabilities, std)


def reorder(predictions: Predictions, order: list[int]) -> Predictions:
    """Returns the predictions in another order."""
    changed: dict[str, Any] = {"target": predictions.target}
    for name, value in vars(predictions).items():
        if name != "target" and value is not None:
            changed[name] = [value[k] for k in order] if isinstance(value, list) else value[order]
    return Predictions(**changed)


def default_batch_size(model: TrainedModel) -> int:
    """Returns the batch size of the test of the run."""
    return model.config.get("data", {}).get("eval_batch_size", BATCH_SIZE)


def describe_unseen(unseen: Counter[tuple[str, str]]) -> str:
    """Describes the categories, users or items that were encoded as zeros."""
    shown = ", ".join(f"{column}={category} ({count:,})" for (column, category), count in unseen.most_common(5))
    more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
    return f"values that training did not see are encoded as zeros: {shown}{more}"


def _decoded(model: TrainedModel, loader: TensorLoader, order: Tensor, tokens: Any) -> Iterator[Predictions]:
    assert isinstance(model, nn.Module)
    start = 0
    for batch in loader:
        rows = order[start : start + batch.size].tolist()
        start += batch.size
        outcome = _next_token(model, batch) if isinstance(model.spec.target, NextToken) else None
        if outcome is None:
            outputs = None if isinstance(model.spec.target, SequenceTarget) else model.forward_batch(batch)
            outcome = compute(model, batch, outputs)
        shown = [tokens[k] for k in rows] if tokens is not None and isinstance(model.spec.target, Tags) else None
        yield decode(model.predicted, outcome, batch.lengths, shown)


def _next_token(model: TrainedModel, batch: Batch) -> Outcome:
    """Returns the distribution of the token after the last one of each text, from as much of it as the model reads."""
    limit = getattr(model, "context_length", None)
    if limit is not None and batch.inputs.shape[1] > limit:
        batch = latest(batch, limit)
    outputs = model.forward_batch(batch)
    assert batch.lengths is not None
    last = outputs[torch.arange(batch.size), (batch.lengths - 1).to(outputs.device)].float()
    return Outcome(last.argmax(-1).cpu(), None, None)._replace(probabilities=last.softmax(-1).cpu())


def latest(batch: Batch, count: int) -> Batch:
    """Returns the last ``count`` tokens of each text ``(batch, time)``."""
    assert batch.lengths is not None
    starts = (batch.lengths - count).clamp(min=0).to(batch.inputs.device)
    index = starts[:, None] + torch.arange(count, device=batch.inputs.device)
    return Batch(batch.inputs.gather(1, index), batch.targets, batch.lengths.clamp(max=count))
