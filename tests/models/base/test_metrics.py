"""Losses and metrics do not depend on the batch size or padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_models import Sentences, Trainer, digits, figures, perceptron, tagger, weights
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.spec import IGNORE, Spec, Values, Vector


@pytest.mark.parametrize("kind", ["digits", "sentences"])
def test_metrics_do_not_depend_on_the_batch_size(kind: str, quiet_trainer: Trainer) -> None:
    found = []
    for size in (1, 7, 64, 1000):
        data = digits(eval_batch_size=size) if kind == "digits" else Sentences(eval_batch_size=size).prepare()
        if kind == "digits" and size == 1:
            continue  # 360 batches would test nothing that the sentences do not.
        model = perceptron(data) if kind == "digits" else tagger(data)
        trainer = quiet_trainer()
        trainer.test(model, data, verbose=False)
        found.append(figures(trainer))
    assert set(found[0]) >= {"test/loss", "test/accuracy", "test/precision", "test/recall", "test/f1"}
    for metrics in found[1:]:
        assert metrics == pytest.approx(found[0], rel=1e-5, abs=1e-7)


def test_metrics_do_not_depend_on_padding(quiet_trainer: Trainer) -> None:
    found = []
    for steps in (9, 30):
        data = Sentences(steps=steps).prepare()
        # Batches are trimmed to their longest sentence, so the padding is added manually.
        batches = list(data.loader("test", train=False))
        assert batches[0].inputs.shape[1] < 10
        padding = (0, steps - batches[0].inputs.shape[1])
        padded = [
            Batch(nn.functional.pad(b.inputs, padding), nn.functional.pad(b.targets, padding, value=IGNORE), b.lengths)
            for b in batches
            if b.targets is not None
        ]
        trainer = quiet_trainer()
        trainer.test(tagger(data), dataloaders=DataLoader(padded, batch_size=None), verbose=False)  # type: ignore[arg-type]
        found.append(figures(trainer))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_the_tagging_loss_is_the_mean_over_all_words(quiet_trainer: Trainer) -> None:
    data = Sentences(eval_batch_size=3).prepare()
    model = tagger(data)
    trainer = quiet_trainer()
    trainer.test(model, data, verbose=False)
    test = data.parts["test"]
    assert test.targets is not None
    real = test.targets != IGNORE
    losses = nn.functional.cross_entropy(model(test.inputs)[real], test.targets[real], reduction="none")
    assert figures(trainer)["test/loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
    correct = model(test.inputs)[real].argmax(-1) == test.targets[real]
    assert figures(trainer)["test/accuracy"] == pytest.approx(correct.float().mean().item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["digits", "sentences"])
@pytest.mark.parametrize("batches", [1, 3])
def test_the_training_loss_is_the_mean_over_the_training_part(kind: str, batches: int, quiet_trainer: Trainer) -> None:
    data = digits() if kind == "digits" else Sentences(batch_size=8).prepare()
    model = perceptron(data) if kind == "digits" else tagger(data)
    model.optimizer = partial(SGD, lr=0.0)
    trainer = quiet_trainer(max_epochs=2, accumulate_grad_batches=batches)
    trainer.fit(model, data)
    train = next(iter(data.loader("train", train=False)))
    assert train.targets is not None
    expected, _ = model.objective.loss(model.forward_batch(train), train.targets)
    assert figures(trainer)["train/loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_training_loss_excludes_penalties(quiet_trainer: Trainer) -> None:
    data = digits()
    losses = []
    for l1 in (0.0, 1.0):
        model = perceptron(data)
        model.optimizer, model.l1 = partial(SGD, lr=0.0), l1
        trainer = quiet_trainer(max_epochs=1)
        trainer.fit(model, data)
        losses.append(figures(trainer)["train/loss"])
    assert losses[0] == losses[1]


def test_lbfgs_counts_each_batch_once(quiet_trainer: Trainer) -> None:
    data = digits()
    model = perceptron(data)
    model.optimizer = partial(torch.optim.LBFGS, lr=1e-9, max_iter=4)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, data)
    train = next(iter(data.loader("train", train=False)))
    assert train.targets is not None
    expected, _ = model.objective.loss(model.forward_batch(train), train.targets)
    assert figures(trainer)["train/loss"] == pytest.approx(expected.item(), rel=1e-4)
    assert int(model.evaluation.sums["train"][1]) == 100
    assert trainer.global_step == 7


def test_a_validation_part_with_a_single_value_does_not_stop_a_run(quiet_trainer: Trainer) -> None:
    """R² requires two values."""

    class Line(DataModule):
        inputs = Vector
        targets = Values

        def read(self) -> dict[Part, Records]:
            rows = torch.arange(10.0).view(-1, 1)
            return {"train": Batch(rows, 2 * rows)}

        def fit_spec(self, train: Any) -> Spec:
            return Spec(Vector(1), Values(("y",)))

        def encode(self, records: Any) -> Batch:
            return records

    data = Line().prepare()
    assert data.parts["val"].size == 1
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(perceptron(data), data)
    assert np.isnan(figures(trainer)["val/r2"])
    assert np.isfinite(figures(trainer)["val/mse"])
    trainer.test(perceptron(data), data, verbose=False)
    assert np.isfinite(figures(trainer)["test/r2"])


def test_evaluation_is_deterministic_and_does_not_change_the_model(quiet_trainer: Trainer) -> None:
    data = digits()
    model = perceptron(data, dropout=0.5, normalization="batch")
    before = weights(model)
    found = []
    for _ in range(2):
        trainer = quiet_trainer()
        trainer.test(model, data, verbose=False)
        found.append(figures(trainer))
    assert found[0] == found[1]
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
    batch = next(iter(data.test_dataloader()))
    model.eval()
    assert torch.equal(model.forward_batch(batch), model.forward_batch(batch))
    assert torch.equal(model.predict_batch(batch), model.predict_step(batch, 0))
    model.train()
    assert not torch.equal(model.forward_batch(batch), model.forward_batch(batch))
