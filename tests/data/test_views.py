"""Two augmented views of each sample, for models with ``views = 2``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.regularization import Flip, Noise, Shift


def with_views(views: int, **settings: Any) -> Digits:
    data = Digits(train_size=100, batch_size=20, **settings).prepare()
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    model = SimpleNamespace(views=views)
    data.trainer = SimpleNamespace(lightning_module=model, strategy=strategy, global_rank=0, world_size=1)  # type: ignore[assignment]
    return data


def test_views_of_a_sample_differ_and_have_the_same_target() -> None:
    single, double = (next(iter(with_views(views, augmentation=Flip()).train_dataloader())) for views in (1, 2))
    assert double.inputs.shape == (40, *single.inputs.shape[1:])
    assert torch.equal(double.targets[:20], single.targets)
    assert torch.equal(double.targets[:20], double.targets[20:])
    first, second = double.inputs[:20], double.inputs[20:]
    equal = (first == second).flatten(1).all(1)
    mirrored = (first == second.flip(-1)).flatten(1).all(1)
    assert (equal | mirrored).all()
    assert 2 < equal.sum() < 18


def test_evaluation_views_are_the_same_in_every_epoch() -> None:
    loader = with_views(2, augmentation=Shift()).val_dataloader()
    batches = []
    for epoch in (0, 3):
        loader.set_epoch(epoch)  # type: ignore[union-attr]
        batches.append(next(iter(loader)))
    assert len(batches[0].inputs) == 2 * with_views(2, augmentation=Shift()).sizes()["val"]
    assert torch.equal(batches[0].inputs, batches[1].inputs)
    train = with_views(2, augmentation=Shift()).train_dataloader()
    train.set_epoch(0)
    first = next(iter(train)).inputs
    train.set_epoch(3)
    assert not torch.equal(first, next(iter(train)).inputs)


def test_views_require_an_augmentation() -> None:
    with pytest.raises(InputError, match="learns from 2 augmented views of each sample: choose how"):
        with_views(2).train_dataloader()


def test_with_one_view_evaluation_is_not_augmented() -> None:
    plain, augmented = (with_views(1, augmentation=step) for step in (None, Noise()))
    a, b = (next(iter(data.val_dataloader())) for data in (plain, augmented))
    assert torch.equal(a.inputs, b.inputs)
