"""Accuracy before training."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.data.images.images import MNIST
from primer.data.loading.scaling import standardize
from primer.models.feedforward.mlp import MLP


def test_untrained_mlps_have_chance_accuracy() -> None:
    """On MNIST if it is available, otherwise on the bundled digits. The accuracy of a single network may be above
    chance; the mean of many is close to 0.1."""
    data = handwritten_digits().prepare()
    test, scale = data.parts["test"], standardize(data.spec.input)
    assert test.targets is not None
    assert scale is not None
    batch = Batch(scale(test.inputs), test.targets)
    accuracies = []
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            accuracies.append((MLP(data.spec).predict_batch(batch) == test.targets).float().mean().item())
    assert 0.07 < sum(accuracies) / len(accuracies) < 0.13
    assert max(accuracies) < 0.3


def handwritten_digits() -> DataModule:
    folder = os.environ.get("PRIMER_DATA_DIR")
    if folder and (Path(folder) / "MNIST/raw/t10k-images-idx3-ubyte").exists():
        return MNIST(data_dir=folder)
    return Digits()
