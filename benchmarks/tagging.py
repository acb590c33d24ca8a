"""Tokens a second of an LSTM that tags words, through Primer, beside a hand-written loop over the same batches.

The tagger reads words alone, or words and their letters, from the sentences of the data set ``pos_tags`` by default;
``python -m benchmarks.tagging data=conllu data.train_size=3000`` takes some of another. The hand-written loop is plain
PyTorch over the batches of an epoch that lie ready, so that all that Primer does besides counts: order, buckets,
letters, logging, callbacks, the progress bar. The two take turns, an epoch each, and the ratio is taken pair by pair,
so that a machine whose speed drifts does no harm.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.step import Clock
from primer.batch import Batch
from primer.callbacks import progress
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.data.base import DataModule
from primer.records import console
from primer.regularization import Regularization
from primer.run.training import (
    build_callbacks,
    build_data,
    build_loggers,
    build_model,
    build_trainer,
    redirect_library_logs,
)
from primer.spec import IGNORE, PADDING, Spec, Tags, Tokens

PAIRS = 5


class Tagger(nn.Module):
    """An LSTM over embedded words, and over what a convolution makes of their letters."""

    def __init__(self, spec: Spec, letters: bool) -> None:
        super().__init__()
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Tags)
        self.words = nn.Embedding(len(spec.input.vocabulary), 128, padding_idx=PADDING)
        self.letters = nn.Embedding(len(spec.input.characters), 30, padding_idx=PADDING) if letters else None
        self.filters = nn.Conv1d(30, 50, 3, padding=1)
        self.lstm = nn.LSTM(128 + 50 * letters, 64, batch_first=True, bidirectional=True)
        self.head = nn.Linear(128, len(spec.target.names))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        if self.letters is None:
            vectors = self.words(tokens)
        else:
            words, letters = tokens[..., 0], tokens[..., 1:]
            real = words != PADDING
            spelled = letters[real]
            responses = self.filters(self.letters(spelled).transpose(1, 2))
            responses = responses.masked_fill((spelled == PADDING)[:, None], float("-inf")).amax(2)
            read = responses.new_zeros(*words.shape, 50)
            read[real] = responses
            vectors = torch.cat([self.words(words), read], dim=-1)
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


def hand_written(batches: list[Batch], spec: Spec, letters: bool) -> Any:
    """A function that trains for an epoch and gives the seconds of a step."""
    network = Tagger(spec, letters)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def epoch() -> float:
        began = time.perf_counter()
        for inputs, targets, lengths in batches:
            assert targets is not None
            assert lengths is not None
            optimizer.zero_grad()
            outputs = network(inputs, lengths)
            F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE).backward()
            optimizer.step()
        return (time.perf_counter() - began) / len(batches)

    return epoch


def measure(letters: bool, *overrides: str) -> tuple[float, list[tuple[float, float]]]:
    """The tokens of a step, and its seconds by hand and through Primer, pair by pair; the first pair, a warm-up, is
    left out."""
    overrides = (
        "model=lstm", *overrides, "model.embedding_size=128", "model.hidden_size=64",
        f"model.characters={'cnn' if letters else 'none'}", f"data.characters={str(letters).lower()}",
        "data.batch_size=32", f"trainer.max_epochs={PAIRS + 1}", "accelerator=cpu",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = compose_resolved("train", list(overrides), folder)
        regularization = instantiate(config["regularization"], Regularization)
        torch.manual_seed(0)
        data = build_data(config, regularization)
        assert isinstance(data, DataModule)
        batches = list(data.loader("train", train=True))
        clock = Clock(hand_written(batches, data.spec, letters))
        model = build_model(config, data, regularization)
        callbacks = [*build_callbacks(config, model, data, regularization), clock]
        build_trainer(config, model, callbacks, build_loggers(config)).fit(model, datamodule=data)
    tokens = sum(int(batch.lengths.sum()) for batch in batches if batch.lengths is not None)
    return tokens / len(batches), clock.pairs[1:]


def main(*overrides: str) -> None:
    redirect_library_logs()
    terminal = Console(file=io.StringIO(), force_terminal=True)
    console.console = progress.console = terminal  # The bar is drawn, as on a terminal, and thrown away.
    print("tagging: tokens a second of an LSTM in training, batches of 32 sentences, by hand and through Primer")
    for letters in (False, True):
        tokens, pairs = measure(letters, *overrides)
        hand, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        print(
            f"  {'words and letters' if letters else 'words':17}: {tokens / hand:,.0f} by hand, {tokens / ours:,.0f} "
            f"through Primer, ratio {statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in "
            f"{len(ratios)} pairs)"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
