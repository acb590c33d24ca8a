"""What a model attends to, and how it tells positions apart, drawn at the end of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.reports.attention import AttentionMap, draw_attention, draw_heads, draw_positions
from primer.reports.publish import SPREAD, log_failure, publish
from primer.spec import PADDING, Sequence, Tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_POSITIONS = 128
"""The number of positions shown."""


class AttentionMaps(Callback):
    """Draws pictures of attention, and logs them to Weights & Biases and TensorBoard, if enabled:

    - ``attention.png``: the attention weights over the source tokens for each predicted token (Bahdanau et al. 2015,
      figure 3), for a few sources spread over the test set. The model has a method ``align``, which takes a batch and
      its predictions and returns the weights, or None if it has no attention.
    - ``attention_heads.png``: the attention weights of each head in each layer, for one of these sources, from the
      method ``attention_heads``, which takes a batch, and the predictions if these are sequences.
    - ``positions.png``: the vectors that tell positions apart, from the method ``position_vectors``.

    In distributed runs, the main process draws sources from its own part of the test set. An error while drawing prints
    a warning but never stops the run.

    Args:
        dirpath: the directory of the pictures.
        sources: the number of sources shown; 0 disables the pictures.

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
        if not self.sources or not (hasattr(pl_module, "align") or hasattr(pl_module, "attention_heads")):
            return
        # Multiples of the golden ratio are spread evenly, and computing them does not synchronize with the device.
        scores = [(self.seen + row) * SPREAD % 2**32 for row in range(batch.size)]
        self.seen += batch.size
        best = sorted(range(batch.size), key=lambda row: -scores[row])[: self.sources]
        lengths = [batch.inputs.shape[1]] * batch.size if batch.lengths is None else batch.lengths.tolist()
        new = [(scores[row], batch.inputs[row, : lengths[row]]) for row in best]
        self.kept = sorted([*self.kept, *new], key=lambda scored: -scored[0])[: self.sources]

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not self.sources or not trainer.is_global_zero:
            return
        pictures = {
            "attention": self._draw_maps,
            "attention_heads": self._draw_heads,
            "positions": self._draw_positions,
        }
        for name, draw in pictures.items():
            with log_failure(self.dirpath, name):
                with trainer.precision_plugin.forward_context(), torch.no_grad():
                    figure = draw(pl_module)
                if figure is not None:
                    publish(trainer, self.dirpath, name, figure)

    def _draw_maps(self, model: Model) -> Figure | None:
        sources = self.kept if hasattr(model, "align") else []
        maps = [attention_map(model, source) for _, source in sources]
        drawable = [attention for attention in maps if attention is not None]
        return draw_attention(drawable) if drawable else None

    def _draw_heads(self, model: Model) -> Figure | None:
        if not self.kept or not hasattr(model, "attention_heads"):
            return None
        return draw_heads(*attention_heads(model, self.kept[0][1]))

    def _draw_positions(self, model: Model) -> Figure | None:
        find: Callable[[], Tensor] | None = getattr(model, "position_vectors", None)
        return None if find is None else draw_positions(find()[:MAX_POSITIONS])

    def _reset(self) -> None:
        self.seen = 0
        self.kept: list[tuple[int, Tensor]] = []


def attention_heads(model: Model, source: Tensor) -> tuple[Tensor, list[str], list[str]]:
    """Returns the attention weights ``(layers, heads, rows, columns)`` for one source ``(time, ...)``, the tokens that
    attend, and those that are attended to: of the source, or, for sequences, the prediction and the source."""
    assert isinstance(model.spec.input, Tokens)
    batch, vocabulary = Batch(source[None], None, torch.tensor([len(source)])), model.spec.input.vocabulary
    words = source[:, 0] if source.ndim == 2 else source
    names = [vocabulary[index] for index in words.tolist()]
    if not isinstance(model.spec.target, Sequence):
        return model.attention_heads(batch)[0], names, names  # type: ignore[operator]
    predicted = model.predict_batch(batch)
    length = int((predicted[0] != PADDING).sum())
    tokens = [model.spec.target.vocabulary[index] for index in predicted[0, :length].tolist()]
    return model.attention_heads(batch, predicted)[0, :, :, :length], tokens, names  # type: ignore[operator]


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
