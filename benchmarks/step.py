"""The cost of a training step through Primer, beside a hand-written loop over the same tensors.

The network is an MLP 784-64-128-64-10 on images of MNIST's shape. The hand-written loop is plain PyTorch with the
default Adam. Primer runs as a user runs it: default Adam, default logging and callbacks, the progress bar drawn. The
two take turns, an epoch each, and the ratio is taken pair by pair, so that a machine whose speed drifts does no harm.
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
from primer.run.training import build_callbacks, build_loggers, build_model, build_trainer, redirect_library_logs
from primer.spec import Classes, Image, Spec

PAIRS = 7


class Images(DataModule):
    """60,000 random images of 28x28 bytes in ten classes: to a clock the same as MNIST."""

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
    """Lets the hand-written loop run an epoch before each of Primer's, and times both."""

    def __init__(self, by_hand: Any) -> None:
        self.by_hand = by_hand
        self.pairs: list[tuple[float, float]] = []
        self.hand = self.began = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.hand = self.by_hand()
        self.began = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.pairs.append((self.hand, (time.perf_counter() - self.began) / trainer.num_training_batches))


def hand_written(data: Batch, spec: Spec, batch_size: int) -> Any:
    """A function that trains for an epoch and gives the seconds of a step."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters())
    scale, targets = standardize(spec.input), data.targets
    assert scale is not None
    assert targets is not None

    def epoch() -> float:
        began, steps = time.perf_counter(), 0
        for index in torch.randperm(data.size).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(network(scale(data.inputs[index])), targets[index]).backward()
            optimizer.step()
            steps += 1
        return (time.perf_counter() - began) / steps

    return epoch


def measure(batch_size: int) -> list[tuple[float, float]]:
    """Seconds of a step by hand and through Primer, pair by pair; the first pair, a warm-up, is left out."""
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
    console.console = progress.console = terminal  # The bar is drawn, as on a terminal, and thrown away.
    print("step: seconds of a training step, MLP 784-64-128-64-10, by hand and through Primer")
    for batch_size in (64, 512):
        pairs = measure(batch_size)
        hand, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        print(
            f"  batch {batch_size:3}: {hand * 1e3:.3f} ms by hand, {ours * 1e3:.3f} ms through Primer, ratio "
            f"{statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
        )


if __name__ == "__main__":
    main()
