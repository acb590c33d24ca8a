"""Training throughput of an LSTM tagger in Primer, compared with a hand-written loop over the same batches.

The tagger reads words, or words and their letters, from the data set ``pos_tags`` by default; ``python -m
benchmarks.tagging data=conllu data.train_size=3000`` uses part of another one. The hand-written loop is plain PyTorch
over the precomputed batches of an epoch, so the comparison includes everything that Primer does besides: shuffling,
bucketing, letters, logging, callbacks and the progress bar. The two alternate epoch by epoch, and ratios are computed
per pair, so that drifts in machine speed cancel out.
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
from primer.run.building import build_callbacks, build_data, build_loggers, build_model, build_trainer
from primer.run.training import redirect_library_logs
from primer.spec import IGNORE, PADDING, Spec, Tags, Tokens

PAIRS = 5


class Tagger(nn.Module):
    """An LSTM over word embeddings, optionally concatenated with the output of a convolution over letters."""

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
            features = responses.new_zeros(*words.shape, 50)
            features[real] = responses
            vectors = torch.cat([self.words(words), features], dim=-1)
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


def hand_written(batches: list[Batch], spec: Spec, letters: bool) -> Any:
    """Returns a function that trains for an epoch and returns the seconds per step."""
    network = Tagger(spec, letters)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def epoch() -> float:
        start = time.perf_counter()
        for inputs, targets, lengths in batches:
            assert targets is not None
            assert lengths is not None
            optimizer.zero_grad()
            outputs = network(inputs, lengths)
            F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE).backward()
            optimizer.step()
        return (time.perf_counter() - start) / len(batches)

    return epoch


def measure(letters: bool, *overrides: str) -> tuple[float, list[tuple[float, float]]]:
    """Returns the tokens per step, and pairs of seconds per step, hand-written and in Primer, without the first pair,
    which is a warm-up."""
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
    console.console = progress.console = terminal  # Draws the progress bar as on a terminal, and discards it.
    print("tagging: training tokens per second, LSTM, batches of 32 sentences: hand-written loop and Primer")
    for letters in (False, True):
        tokens, pairs = measure(letters, *overrides)
        hand, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        name = "words and letters" if letters else "words"
        print(
            f"  {name:17}: {tokens / hand:,.0f} hand-written, {tokens / ours:,.0f} Primer, ratio "
            f"{statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
