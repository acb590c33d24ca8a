"""Augmentation improves generalization: LeNet on 1,000 images of MNIST."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from primer.data.images.images import MNIST
from primer.models.convolutional.lenet import LeNet
from primer.optim import Schedule
from primer.regularization import Rotate, Shift

EPOCHS, SEEDS, MARGIN = 20, (0, 1), 0.01


def percentages(accuracies: list[float]) -> str:
    return ", ".join(f"{100 * accuracy:.2f} %" for accuracy in accuracies)


@pytest.mark.slow
def test_augmentation_improves_lenet(data_dir_or_skip, quiet_trainer, record_figure: Callable[[str], None]) -> None:
    folder = data_dir_or_skip("MNIST").parent

    def accuracy(seed: int, augmented: bool) -> float:
        torch.manual_seed(seed)
        steps = [Shift(2), Rotate(10, (0.9, 1.1))] if augmented else []
        data = MNIST(data_dir=folder, train_size=1000, val_fraction=0, augmentation=steps).prepare()
        model = LeNet(data.spec, normalization="batch")
        model.optimizer = partial(torch.optim.Adam, lr=0.005)
        model.schedule = Schedule(partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.005), interval="step")
        trainer = quiet_trainer(max_epochs=EPOCHS)
        trainer.fit(model, datamodule=data)
        return trainer.test(model, datamodule=data, verbose=False)[0]["test/accuracy"]

    plain, augmented = ([accuracy(seed, augmented) for seed in SEEDS] for augmented in (False, True))
    margin = (sum(augmented) - sum(plain)) / len(SEEDS)
    record_figure(
        f"LeNet on 1,000 images of MNIST, {EPOCHS} epochs, seeds {SEEDS}: test accuracy {percentages(plain)} without "
        f"augmentation, {percentages(augmented)} with it, a difference of {100 * margin:.2f} points"
    )
    assert margin > MARGIN
