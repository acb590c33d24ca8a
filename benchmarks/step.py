"""The time per training step in Primer, compared with a hand-written loop over the same tensors.

The network is an MLP 784-64-128-64-10 on images of MNIST's shape. The hand-written loop is plain PyTorch with the
default Adam. Primer uses its default settings: Adam, logging, callbacks and the progress bar. The two alternate epoch
by epoch, and ratios are computed per pair, so that drifts in machine speed cancel out.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.callbacks import progress
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.data.base import DataModule
from primer.data.loading.scaling import moments, standardize
from primer.records import console
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_loggers, build_model, build_trainer
from primer.run.training import redirect_library_logs
from primer.spec import Classes, Image, Spec

PAIRS = 7


class Images(DataModule):
    """60,000 random images of 28x28 bytes in ten classes: MNIST as far as timing is concerned."""

    inputs = Image
    targets = Classes

    def read(self) -> dict[Any, Any]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=generator)
        return {"train": Batch(images, torch.randint(0, 10, (60_000,), generator=generator))}

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Image(1, 28, 28, *moments(train.inputs)), Classes(tuple("0123456789")))

    def encode(self, records: Any) -> Batch:
        return records


class Clock(L.Callback):
    """Runs an epoch of the hand-written loop before each of Primer's epochs, and times both."""

    def __init__(self, by_hand: Any) -> None:
        self.by_hand = by_hand
        self.pairs: list[tuple[float, float]] = []
        self.hand = self.start = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.hand = self.by_hand()
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.pairs.append((self.hand, (time.perf_counter() - self.start) / trainer.num_training_batches))


def hand_written(data: Batch, spec: Spec, batch_size: int) -> Any:
    """Returns a function that trains for an epoch and returns the seconds per step."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters())
    scale, targets = standardize(spec.input), data.targets
    assert scale is not None
    assert targets is not None

    def epoch() -> float:
        start, steps = time.perf_counter(), 0
        for index in torch.randperm(data.size).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(network(scale(data.inputs[index])), targets[index]).backward()
            optimizer.step()
            steps += 1
        return (time.perf_counter() - start) / steps

    return epoch


def measure(batch_size: int) -> list[tuple[float, float]]:
    """Returns pairs of seconds per step, hand-written and in Primer, without the first pair, which is a warm-up."""
    overrides = [
        "model.hidden_sizes=[64,128,64]", "model.normalization=none",
        f"data.batch_size={batch_size}", f"trainer.max_epochs={PAIRS + 1}",
        "accelerator=cpu",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = compose_resolved("train", overrides, folder)
        regularization = instantiate(config["regularization"], Regularization)
        data = Images(batch_size=batch_size, test_fraction=0.01, val_fraction=0.01).prepare()
        train = data.parts["train"]
        assert isinstance(train, Batch)
        clock = Clock(hand_written(train, data.spec, batch_size))
        model = build_model(config, data, regularization)
        callbacks = [*build_callbacks(config, model, data, regularization), clock]
        build_trainer(config, model, callbacks, build_loggers(config)).fit(model, datamodule=data)
    return clock.pairs[1:]


def main() -> None:
    redirect_library_logs()
    terminal = Console(file=io.StringIO(), force_terminal=True)
    console.console = progress.console = terminal  # Draws the progress bar as on a terminal, and discards it.
    print("step: milliseconds per training step, MLP 784-64-128-64-10: hand-written loop and Primer")
    for batch_size in (64, 512):
        pairs = measure(batch_size)
        hand, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        print(
            f"  batch size {batch_size:3}: {hand * 1e3:.3f} ms hand-written, {ours * 1e3:.3f} ms Primer, ratio "
            f"{statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
        )


if __name__ == "__main__":
    main()
