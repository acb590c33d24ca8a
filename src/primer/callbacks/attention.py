"""Attention maps of a decoder, drawn at the end of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.reports.attention import AttentionMap, draw_attention
from primer.reports.publish import SPREAD, log_failure, publish
from primer.spec import PADDING, Sequence, Tokens


class AttentionMaps(Callback):
    """Draws ``attention.png``: the attention weights over the source tokens for each predicted token (Bahdanau et al.
    2015, figure 3), for a few sources spread over the test set. It is also logged to Weights & Biases and TensorBoard,
    if enabled.

    It supports any model from tokens to sequences with a method ``align``, which takes a batch and its predictions and
    returns the weights, or None if the model has no attention. In distributed runs, the main process draws sources from
    its own part of the test set. An error while drawing prints a warning but never stops the run.

    Args:
        dirpath: the directory of the picture.
        sources: the number of sources shown; 0 disables the picture.

    Raises:
        InputError: if ``sources`` is negative.
    """

    def __init__(self, dirpath: str | Path, sources: int = 4) -> None:
        if sources < 0:
            raise InputError(f"callbacks.attention.sources must be at least 0, not {sources}")
        self.dirpath, self.sources = Path(dirpath), sources
        self._reset()

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._reset()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.sources or not hasattr(pl_module, "align"):
            return
        # Multiples of the golden ratio are spread evenly, and computing them does not synchronize with the device.
        scores = [(self.seen + row) * SPREAD % 2**32 for row in range(batch.size)]
        self.seen += batch.size
        best = sorted(range(batch.size), key=lambda row: -scores[row])[: self.sources]
        lengths = [batch.inputs.shape[1]] * batch.size if batch.lengths is None else batch.lengths.tolist()
        new = [(scores[row], batch.inputs[row, : lengths[row]]) for row in best]
        self.kept = sorted([*self.kept, *new], key=lambda scored: -scored[0])[: self.sources]

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not self.kept or not trainer.is_global_zero:
            return
        with log_failure(self.dirpath, "attention"):
            with trainer.precision_plugin.forward_context(), torch.no_grad():
                maps = [attention_map(pl_module, source) for _, source in self.kept]
            drawable = [attention for attention in maps if attention is not None]
            if drawable:
                publish(trainer, self.dirpath, "attention", draw_attention(drawable))

    def _reset(self) -> None:
        self.seen = 0
        self.kept: list[tuple[int, Tensor]] = []


def attention_map(model: Model, source: Tensor) -> AttentionMap | None:
    """Returns the prediction and attention weights for one source ``(time,)``; None for a model without attention."""
    assert isinstance(model.spec.input, Tokens)
    assert isinstance(model.spec.target, Sequence)
    batch = Batch(source[None], None, torch.tensor([len(source)]))
    predicted = model.predict_batch(batch)
    weights: Tensor | None = model.align(batch, predicted)  # type: ignore[operator]
    if weights is None:
        return None
    length = int((predicted[0] != PADDING).sum())
    target_tokens = [model.spec.target.vocabulary[index] for index in predicted[0, :length].tolist()]
    source_tokens = [model.spec.input.vocabulary[index] for index in source.tolist()]
    return AttentionMap(source_tokens, target_tokens, weights[0, :length])
