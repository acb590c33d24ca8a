"""Transfer learning: pretraining on five digits helps with the other five, of which there are few images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything

from primer.batch import Batch
from primer.checkpoints import weights
from primer.checkpoints.transfer import Finetune, Frozen, Transfer
from primer.data.base import Part, Records
from primer.data.images.images import MNIST
from primer.models.convolutional.lenet import LeNet

MARGIN = 0.01
SEEDS = (0, 1, 2)


class HalfMNIST(MNIST):
    """Five consecutive digits of MNIST, optionally with a limited number of training images per class."""

    def __init__(self, first: int, per_class: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.digits, self.per_class = range(first, first + 5), per_class

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(digit) for digit in self.digits)

    def read(self) -> dict[Part, Records]:
        parts = super().read()
        return {"train": self.filter(parts["train"], self.per_class), "test": self.filter(parts["test"])}

    def filter(self, batch: Any, per_class: int | None = None) -> Batch:
        rows = torch.cat([(batch.targets == digit).nonzero().flatten()[:per_class] for digit in self.digits])
        return Batch(batch.inputs[rows], batch.targets[rows] - self.digits[0])


def train_and_test(
    data: HalfMNIST,
    trainer: Callable[..., Any],
    seed: int,
    epochs: int,
    start: weights.Weights | None = None,
    transfer: Transfer | None = None,
) -> tuple[LeNet, float]:
    seed_everything(seed, verbose=False)
    if start and transfer:
        weights.set_image_format(data, start)
    model = LeNet(data.spec, normalization="batch")
    model.optimizer = partial(torch.optim.Adam, lr=0.003)
    if start and transfer:
        weights.copy_into(model, start)
        transfer.apply(model)
    fitter = trainer(max_epochs=epochs, limit_val_batches=0)
    fitter.fit(model, data)
    (metrics,) = fitter.test(model, data, verbose=False)
    return model, metrics["test/accuracy"]


def test_pretraining_on_five_digits_helps_with_ten_images_of_each_other_digit(
    quiet_trainer: Callable[..., Any], data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    settings: dict[str, Any] = {"data_dir": data_dir_or_skip("MNIST").parent}
    many = HalfMNIST(0, train_size=10000, batch_size=128, **settings).prepare()
    source, _ = train_and_test(many, quiet_trainer, seed=0, epochs=3)
    start = weights.Weights("digits 0 to 4", source.state_dict(), source.spec.input, source.spec.target)
    mean = {}
    # Features close to the output are specific to the pretraining classes, so "frozen" retrains the last three layers.
    methods: dict[str, Transfer | None] = {
        "scratch": None, "frozen except the head": Frozen(), "frozen": Frozen(learn=3), "finetune": Finetune(),
    }  # fmt: skip
    for name, transfer in methods.items():
        accuracies = []
        for seed in SEEDS:
            few = HalfMNIST(5, per_class=10, val_fraction=0, batch_size=10, **settings).prepare()
            assert few.parts["train"].targets is not None
            assert few.parts["train"].targets.bincount().tolist() == [10] * 5
            model, accuracy = train_and_test(few, quiet_trainer, seed, epochs=20, start=start, transfer=transfer)
            accuracies.append(accuracy)
            if name == "frozen":
                for key, value in model.state_dict().items():  # Includes running statistics.
                    unchanged = torch.equal(value, source.state_dict()[key])
                    assert unchanged or not key.startswith(("c1.", "c3.")), key
                assert not torch.equal(model.c5[0].weight, source.c5[0].weight)
        mean[name] = sum(accuracies) / len(accuracies)
        record_figure(
            f"transfer, {name}: {', '.join(f'{accuracy:.4f}' for accuracy in accuracies)}, mean {mean[name]:.4f}"
        )
    for name in ("frozen", "finetune"):
        record_figure(f"transfer, {name} minus scratch: {mean[name] - mean['scratch']:+.4f}")
        assert mean[name] > mean["scratch"] + MARGIN
