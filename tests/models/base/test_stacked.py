"""Stacked models compute what each of them computes alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.small_models import digits

from primer.data.base import DataModule
from primer.models.base import Model
from primer.models.base.stacked import StackedModel
from primer.models.convolutional.lenet import LeNet
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP

MODELS = 3


def build(kind: Callable[..., Model], data: DataModule, **settings: Any) -> list[Model]:
    models = []
    for seed in range(MODELS):
        torch.manual_seed(seed)
        models.append(kind(data.spec, **settings))
    return models


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(MLP, {"normalization": "layer"}), (MLP, {"normalization": "batch"}), (LeNet, {}), (Linear, {})],
    ids=["layer norm", "batch norm", "LeNet", "linear"],
)
def test_losses_gradients_and_buffers(kind: Callable[..., Model], settings: dict[str, Any]) -> None:
    data = digits()
    models = build(kind, data, **settings)
    stacked = StackedModel(models, torch.device("cpu"))
    batches = list(data.train_dataloader())[:MODELS]
    stacked.train()
    step = stacked.step(torch.stack([b.inputs for b in batches]), torch.stack([b.targets for b in batches]))  # type: ignore[misc]
    (gradients,) = torch.autograd.grad(step.losses.sum(), stacked.values)
    for row, (model, batch) in enumerate(zip(models, batches, strict=True)):
        expected = model.step(batch)
        expected.loss.backward()
        torch.testing.assert_close(step.losses[row], expected.loss)
        assert step.counts[row] == expected.count
        for name, gradient in stacked.parameters(gradients[row]).items():
            torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=1e-4, atol=1e-6)
        for name, buffer in stacked.buffers.items():
            torch.testing.assert_close(buffer[row], model.get_buffer(name))


def test_evaluation_of_one_batch_for_all() -> None:
    data = digits()
    models = build(MLP, data, normalization="batch")
    stacked, (batch,) = StackedModel(models, torch.device("cpu")), list(data.val_dataloader())
    stacked.train(False)
    step = stacked.step(batch.inputs, batch.targets, shared=True)
    kept = torch.tensor([2, 0])
    stacked.select(kept)
    for losses in (step.losses[kept], stacked.step(batch.inputs, batch.targets, shared=True).losses):
        torch.testing.assert_close(losses, torch.stack([models[row].eval().step(batch).loss for row in (2, 0)]))
