"""MNIST as sequences: the order of pixels, and their scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.images.images import TorchvisionImages
from primer.data.series.sequential_mnist import SequentialMNIST
from primer.errors import InputError
from primer.spec import Classes, Series


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Random images in place of MNIST."""
    pixels = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(120) % 10
    parts = {"train": Batch(pixels[:80], labels[:80]), "test": Batch(pixels[80:], labels[80:])}
    monkeypatch.setattr(TorchvisionImages, "read", lambda self: parts)
    monkeypatch.setattr(TorchvisionImages, "download", lambda self: None)
    return pixels


def sequences(**settings: Any) -> torch.Tensor:
    return SequentialMNIST(**settings).prepare().parts["test"].inputs  # type: ignore[union-attr]


def test_rows_and_pixels_are_in_reading_order(images: torch.Tensor) -> None:
    rows, pixels = sequences(), sequences(by="pixels")
    assert rows.dtype == pixels.dtype == torch.uint8
    assert torch.equal(rows, images[80:, 0])
    assert pixels.shape == (40, 784, 1)
    assert torch.equal(pixels[:, 28 + 3, 0], images[80:, 0, 1, 3])


def test_all_images_share_one_permutation(images: torch.Tensor) -> None:
    pixels, permuted = sequences(by="pixels"), sequences(by="pixels", permuted=True)
    assert not torch.equal(pixels, permuted)
    order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
    assert torch.equal(permuted, pixels[:, order])
    assert torch.equal(sequences(permuted=True).flatten(1), permuted.flatten(1))
    assert not torch.equal(permuted, sequences(by="pixels", permuted=True, split_seed=1))


@pytest.mark.parametrize(("by", "features"), [("rows", 28), ("pixels", 1)])
def test_all_pixels_share_one_scale(by: Any, features: int, images: torch.Tensor) -> None:
    data = SequentialMNIST(by=by, batch_size="full").prepare()
    assert isinstance(data.spec.input, Series)
    assert data.spec.input.features == len(data.spec.input.mean) == features
    assert data.spec.target == Classes(tuple("0123456789"))
    (batch,) = data.train_dataloader()
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert batch.inputs.std().item() == pytest.approx(1, abs=1e-4)


def test_an_unknown_reading_order_is_rejected() -> None:
    with pytest.raises(InputError, match="by must be one of rows, pixels, not 'columns'"):
        SequentialMNIST(by="columns")  # type: ignore[arg-type]


def test_the_real_images(data_dir_or_skip: Callable[[str], Path]) -> None:
    data = SequentialMNIST(data_dir=data_dir_or_skip("MNIST/raw").parents[1], val_fraction=0.08333).prepare()
    assert [part.size for part in data.parts.values()] == [55_000, 5_000, 10_000]
    assert isinstance(data.spec.input, Series)
    assert (data.spec.input.mean[0], data.spec.input.std[0]) == pytest.approx((0.1307, 0.3081), abs=5e-4)
