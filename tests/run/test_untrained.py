"""Where learning starts from."""

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


def test_an_untrained_mlp_guesses_one_of_ten_digits() -> None:
    """On MNIST where it is at hand, on the digits of the clone otherwise. One network may prefer the right class of
    some digits by chance; the mean of many is near 0.1."""
    data = handwritten_digits().prepare()
    test, scale = data.parts["test"], standardize(data.spec.input)
    assert test.targets is not None
    assert scale is not None
    batch = Batch(scale(test.inputs), test.targets)
    shares = []
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            shares.append((MLP(data.spec).predict(batch) == test.targets).float().mean().item())
    assert 0.07 < sum(shares) / len(shares) < 0.13
    assert max(shares) < 0.3


def handwritten_digits() -> DataModule:
    folder = os.environ.get("PRIMER_DATA_DIR")
    if folder and (Path(folder) / "MNIST/raw/t10k-images-idx3-ubyte").exists():
        return MNIST(data_dir=folder)
    return Digits()
