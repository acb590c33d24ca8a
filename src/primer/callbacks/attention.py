"""A picture at the end of a test: where a decoder looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.reports.attention import Map, draw_attention
from primer.reports.publish import SPREAD, log_failure, publish
from primer.spec import PADDING, Sequence, Tokens


class AttentionMaps(Callback):
    """Draws ``attention.png``: for a few sources of the test, spread over it, the weights that the decoder gives to the
    tokens of the source as it writes each token of its prediction (Bahdanau et al. 2015, figure 3). Weights & Biases
    and TensorBoard get it too, where they are on.

    It is drawn for any model from tokens to a sequence that has a method ``align``, which takes a batch and what was
    predicted and gives the weights, or None where there are none. Of several processes the first one draws sources of
    its own. A picture that fails costs a line, never the run.

    Args:
        dirpath: the folder of the pictures.
        sources: how many are shown; 0 for no picture.

    Raises:
        ValueError: for a negative number.
    """

    def __init__(self, dirpath: str | Path, sources: int = 4) -> None:
        if sources < 0:
            raise InputError(f"callbacks.attention.sources must be at least 0, not {sources}")
        self.dirpath, self.sources = Path(dirpath), sources
        self._begin()

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._begin()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self.sources or not hasattr(pl_module, "align"):
            return
        # Multiples of the golden ratio are spread evenly. They are known without waiting for the device.
        places = [(self.seen + row) * SPREAD % 2**32 for row in range(batch.size)]
        self.seen += batch.size
        best = sorted(range(batch.size), key=lambda row: -places[row])[: self.sources]
        lengths = [batch.inputs.shape[1]] * batch.size if batch.lengths is None else batch.lengths.tolist()
        new = [(places[row], batch.inputs[row, : lengths[row]]) for row in best]
        self.kept = sorted([*self.kept, *new], key=lambda one: -one[0])[: self.sources]

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not self.kept or not trainer.is_global_zero:
            return
        with log_failure(self.dirpath, "attention"):
            with trainer.precision_plugin.forward_context(), torch.no_grad():
                maps = [one for _, source in self.kept if (one := attention_map(pl_module, source)) is not None]
            if maps:
                publish(trainer, self.dirpath, "attention", draw_attention(maps))

    def _begin(self) -> None:
        self.seen = 0
        self.kept: list[tuple[int, Tensor]] = []


def attention_map(model: Model, source: Tensor) -> Map | None:
    """What a model makes of one source ``(time,)``, and where it looks; None for a model without attention."""
    assert isinstance(model.spec.input, Tokens)
    assert isinstance(model.spec.target, Sequence)
    batch = Batch(source[None], None, torch.tensor([len(source)]))
    written = model.predict(batch)
    weights: Tensor | None = model.align(batch, written)  # type: ignore[operator]
    if weights is None:
        return None
    length = int((written[0] != PADDING).sum())
    words = [model.spec.target.vocabulary[index] for index in written[0, :length].tolist()]
    read = [model.spec.input.vocabulary[index] for index in source.tolist()]
    return Map(read, words, weights[0, :length])
