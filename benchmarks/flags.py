"""Training throughput with each performance flag, compared with a hand-written loop with the same settings.

The network is ResNet-18 at 32x32 with batch size 256 on a GPU, and ResNet-20 at 28x28 with batch size 128 on a CPU. All
settings alternate in each of three rounds. The hand-written loop is plain PyTorch with the same network, optimizer and
tensors.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.step import Images
from primer.batch import Batch
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.data.loading.scaling import moments, standardize
from primer.models.base import Model
from primer.optim import build_optimizer
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_model, build_trainer
from primer.run.training import redirect_library_logs
from primer.spec import Classes, Image, Spec

ROUNDS = 3
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
NETWORK, BATCH, WARM, STEPS = ("resnet18", 256, 20, 100) if GPU else ("resnet20", 128, 2, 8)
FLAGS = {
    "none": (),
    "channels_last": ("trainer.channels_last=true",),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "bf16-mixed, channels_last": ("trainer.precision=bf16-mixed", "trainer.channels_last=true"),
    "bf16-mixed, channels_last, compile": (
        "trainer.precision=bf16-mixed", "trainer.channels_last=true", "trainer.compile=true",
    ),
}  # fmt: skip


class Photographs(Images):
    """50,000 random images of 3x32x32 bytes in ten classes: CIFAR-10 as far as timing is concerned."""

    def read(self) -> dict[Any, Any]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (50_000, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return {"train": Batch(images, torch.randint(0, 10, (50_000,), generator=generator))}

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Image(3, 32, 32, *moments(train.inputs)), Classes(tuple("0123456789")))


class Clock(L.Callback):
    """Times all steps except the first few."""

    start = seconds = 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == WARM:
            self.start = now()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == WARM + STEPS:
            self.seconds = now() - self.start


def now() -> float:
    """Returns the time once the device has finished all queued work."""
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def through_primer(config: dict[str, Any], data: Images) -> float:
    """Returns the training images per second."""
    clock, regularization = Clock(), instantiate(config["regularization"], Regularization)
    model = build_model(config, data, regularization)
    callbacks = [*build_callbacks(config, model, data, regularization), clock]
    build_trainer(config, model, callbacks, []).fit(model, datamodule=data)
    return BATCH * STEPS / clock.seconds


def by_hand(config: dict[str, Any], data: Images) -> float:
    """Returns the training images per second."""
    model: Model = build_model(config, data, instantiate(config["regularization"], Regularization)).to(DEVICE)
    optimizer = build_optimizer(model.optimizer, model)
    train, scale = data.parts["train"], standardize(data.spec.input)
    assert isinstance(train, Batch)
    assert scale is not None
    images, targets = train.inputs.to(DEVICE), train.targets
    assert isinstance(targets, Tensor)
    targets, order = targets.to(DEVICE), torch.randperm(train.size, device=DEVICE).split(BATCH)
    mixed, last = config["trainer"]["precision"] == "bf16-mixed", config["trainer"]["channels_last"]
    start = 0.0
    for step in range(WARM + STEPS):
        if step == WARM:
            start = now()
        batch = scale(images[order[step]])
        if last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=mixed):
            loss = F.cross_entropy(model(batch), targets[order[step]])
        loss.backward()
        optimizer.step()
    return BATCH * STEPS / (now() - start)


def config_of(flags: tuple[str, ...], folder: str) -> dict[str, Any]:
    """Composes the config of a short run with some flags."""
    accelerator = "accelerator=gpu" if GPU else "accelerator=cpu"
    steps = ("trainer.max_epochs=1", f"trainer.max_steps={WARM + STEPS}", "trainer.limit_val_batches=0")
    settings = [f"model={NETWORK}", "optimizer=momentum", "callbacks=none", accelerator, *steps, *flags]
    return compose_resolved("train", settings, folder)


def main() -> None:
    redirect_library_logs()
    size = {"batch_size": BATCH, "test_fraction": 0.01, "val_fraction": 0.01}
    data = (Photographs if GPU else Images)(**size).prepare()
    print(f"flags: training images per second, {NETWORK}, batch size {BATCH}, {DEVICE}: Primer and hand-written loop")
    with tempfile.TemporaryDirectory() as folder:
        configs = {name: config_of(flags, folder) for name, flags in FLAGS.items()}
        speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in configs}
        for _ in range(ROUNDS):
            for name, config in configs.items():
                speeds[name].append((through_primer(config, data), by_hand(config, data)))
    plain = statistics.median(ours for ours, _ in speeds["none"])
    for name, pairs in speeds.items():
        ours, hand = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"  {name:35} {ours:8.0f}, {ours / plain:4.2f}x none; hand-written {hand:8.0f}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
