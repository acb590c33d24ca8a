"""The time per training step of a GPT in Primer, compared with a hand-written loop of the same shapes.

The hand-written network follows nanoGPT (Karpathy 2022): one linear layer for queries, keys and values, pre-norm,
learned positions, tied embeddings and AdamW, without dropout. Both read the same number of random tokens. The two
alternate epoch by epoch, and ratios are computed per pair, so that drifts in machine speed cancel out.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.step import Clock
from primer.callbacks import progress
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.data.base import DataModule
from primer.records import console
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_data, build_loggers, build_model, build_trainer
from primer.run.training import redirect_library_logs
from primer.spec import Tokens

PAIRS = 5
SIZE, HEADS, LAYERS, TIME, BATCH = 128, 4, 4, 128, 16


class Block(nn.Module):
    """A block of nanoGPT."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.c_attn, self.c_proj = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)
        self.mlp = nn.Sequential(nn.Linear(SIZE, 4 * SIZE), nn.GELU(), nn.Linear(4 * SIZE, SIZE))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.c_attn(self.ln_1(x)).split(SIZE, dim=2)
        q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.c_proj(y)
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """The network of nanoGPT."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, SIZE), nn.Embedding(TIME, SIZE)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.ln_f, self.head = nn.LayerNorm(SIZE), nn.Linear(SIZE, words, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.ln_f(self.blocks(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))))


def hand_written(tokens: Tensor, words: int) -> Any:
    """Returns a function that trains for an epoch and returns the seconds per step."""
    network = NanoGPT(words)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    steps = (len(tokens) - 1) // BATCH // TIME

    def epoch() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            index = torch.randint(len(tokens) - TIME - 1, (BATCH, 1)) + torch.arange(TIME)
            optimizer.zero_grad()
            logits = network(tokens[index])
            F.cross_entropy(logits.flatten(0, 1), tokens[index + 1].flatten()).backward()
            optimizer.step()
        return (time.perf_counter() - start) / steps

    return epoch


def measure(folder: Path) -> list[tuple[float, float]]:
    """Returns pairs of seconds per step, hand-written and in Primer, without the first pair, which is a warm-up."""
    letters = torch.randint(0, 64, (25_000,), generator=torch.Generator().manual_seed(0))
    (folder / "text.txt").write_text("".join(chr(48 + letter) for letter in letters.tolist()))
    overrides = [
        "model=gpt", "data=text", f"data.path={folder}/text.txt", f"data.sequence_length={TIME}",
        f"data.batch_size={BATCH}", "data.val_fraction=0.01", "data.test_fraction=0.01", "optimizer=adamw",
        f"model.hidden_size={SIZE}", f"model.num_heads={HEADS}", f"model.num_layers={LAYERS}",
        f"trainer.max_epochs={PAIRS + 1}", "accelerator=cpu",
    ]  # fmt: skip
    config = compose_resolved("train", overrides, str(folder))
    regularization = instantiate(config["regularization"], Regularization)
    data = build_data(config)
    assert isinstance(data, DataModule)
    assert isinstance(data.spec.input, Tokens)
    tokens = data.parts["train"].inputs  # type: ignore[union-attr]
    clock = Clock(hand_written(tokens, len(data.spec.input.vocabulary)))
    model = build_model(config, data, regularization)
    callbacks: list[L.Callback] = [*build_callbacks(config, model, data, regularization), clock]
    build_trainer(config, model, callbacks, build_loggers(config)).fit(model, datamodule=data)
    return clock.pairs[1:]


def main() -> None:
    torch.set_num_threads(1)
    redirect_library_logs()
    terminal = Console(file=io.StringIO(), force_terminal=True)
    console.console = progress.console = terminal  # Draws the progress bar as on a terminal, and discards it.
    with tempfile.TemporaryDirectory() as folder:
        pairs = measure(Path(folder))
    hand, ours = (BATCH * TIME / statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    print(f"language model: tokens per second in training, GPT with {LAYERS} layers of {SIZE}, one thread")
    print(
        f"  {hand:,.0f} hand-written, {ours:,.0f} Primer, ratio of times {statistics.median(ratios):.3f} (from "
        f"{min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
