"""What every model owes to the base: what it takes, its steps, and that it may train in another way."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from helpers.small_models import Sentences, Trainer, close, digits, figures, perceptron, tagger, weights
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.errors import InputError
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.optim import Schedule, SparseAdam
from primer.run import training
from primer.spec import Classes, NoTarget, Series, Spec, Tags, Values, Vector


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(Series(3), Classes(("a", "b"))), "MLP does not take inputs of type Series"),
        (Spec(Vector(3), Tags(("a", "b"))), "MLP does not take targets of type Tags"),
        (Spec(Vector(3), NoTarget()), "MLP does not take targets of type NoTarget"),
    ],
)
def test_data_of_another_type_is_refused(spec: Spec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLP(spec)


# Steps.


def step_by_step(
    quiet_trainer: Trainer, data: DataModule, model: Model, batches: int, penalties: tuple[float, float] = (0, 0)
) -> Model:
    sparse = any(getattr(parameter, "sparse", False) for parameter in model.parameters())
    # With a large eps, Adam too is smooth, so that a rounding of the gradient is no more than one of the step.
    model.optimizer = partial(SparseAdam, lr=0.5, eps=1.0) if sparse else partial(SGD, lr=0.5)
    model.l1, model.l2 = penalties
    quiet_trainer(max_epochs=2, accumulate_grad_batches=batches).fit(model, data)
    return model


@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.01, 0.01)])
@pytest.mark.parametrize("size", [96, 80, 84])  # Of these the last step is whole, of fewer batches, of a smaller one.
def test_accumulating_equals_one_large_batch(size: int, penalties: tuple[float, float], quiet_trainer: Trainer) -> None:
    many, one = digits(train_size=size, batch_size=8), digits(train_size=size, batch_size=32)
    first = step_by_step(quiet_trainer, many, perceptron(many), 4, penalties)
    second = step_by_step(quiet_trainer, one, perceptron(one), 1, penalties)
    assert close(first, second, 1e-6)
    assert not close(first, perceptron(one), 1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_accumulating_weighs_batches_by_their_words(sparse: bool, quiet_trainer: Trainer) -> None:
    many, one = Sentences(size=100, batch_size=8).prepare(), Sentences(size=100, batch_size=24).prepare()
    for data in (many, one):
        data.loader = partial(data.loader, bucket=False)  # type: ignore[method-assign]  # Three batches are one of 24.
    first = step_by_step(quiet_trainer, many, tagger(many, sparse=sparse), 3)
    second = step_by_step(quiet_trainer, one, tagger(one, sparse=sparse), 1)
    assert close(first, second, 1e-6)
    assert not close(first, tagger(one), 1e-3)


def test_lbfgs_refuses_to_accumulate(quiet_trainer: Trainer) -> None:
    """Its steps evaluate the loss several times, which would add the gradients of one batch up."""
    data = digits()
    model = perceptron(data)
    model.optimizer = torch.optim.LBFGS
    with pytest.raises(InputError, match=r"LBFGS .*accumulate_grad_batches=2"):
        quiet_trainer(max_epochs=1, accumulate_grad_batches=2).fit(model, data)


def test_a_run_without_an_end_is_refused(quiet_trainer: Trainer) -> None:
    data = digits()
    with pytest.raises(InputError, match=r"set trainer\.max_epochs, trainer\.max_steps or trainer\.max_time"):
        quiet_trainer(max_epochs=-1).fit(perceptron(data), data)


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"max_epochs": 4}, 4),
        ({"max_epochs": 4, "accumulate_grad_batches": 3}, 4),
        ({"max_epochs": 20, "max_steps": 25}, 4),  # Seven steps an epoch.
        ({"max_epochs": 20, "max_steps": 8, "accumulate_grad_batches": 3}, 3),
        ({"max_epochs": 4, "max_steps": 1000}, 4),
        ({"max_epochs": -1, "max_steps": 28}, 4),
    ],
)
def test_a_schedule_by_epoch_is_as_long_as_the_run(
    settings: dict[str, int], epochs: int, quiet_trainer: Trainer
) -> None:
    data = digits(train_size=110)
    model = perceptron(data)
    model.schedule = Schedule(CosineAnnealingLR)
    trainer = quiet_trainer(limit_val_batches=0, **settings)
    trainer.fit(model, data)
    assert trainer.lr_scheduler_configs[0].scheduler.T_max == epochs


def test_the_same_seed_gives_the_same_weights(quiet_trainer: Trainer) -> None:
    def run(seed: int) -> Model:
        training.seed_everything(seed)
        data = digits()
        model = MLP(data.spec, hidden_sizes=(8,), dropout=0.3)
        quiet_trainer(max_epochs=2).fit(model, data)
        return model

    zero = run(0)
    torch.rand(7)
    assert close(zero, run(0), 0.0)
    assert not close(zero, run(1), 1e-3)


def test_zero_is_a_seed_and_none_draws_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert training.seed_everything(0) == 0
    assert torch.initial_seed() == 0
    drawn = set()
    for _ in range(3):
        monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
        drawn.add(training.seed_everything(None))
    assert len(drawn) == 3


# Models that train in another way.


class Duel(Model):
    """Two networks with an optimizer each: one moves a point, the other says how far it is from where it should be."""

    inputs = Vector
    targets = Classes | Values

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.critic(self.generator(inputs))

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        first, second = self.optimizers()  # type: ignore[misc]
        for optimizer, sign in ((first, 1.0), (second, -1.0)):
            optimizer.zero_grad()
            loss = sign * self(batch.inputs).square().mean()
            self.manual_backward(loss)
            optimizer.step()
        self.log("train/duel", loss.detach())

    def configure_optimizers(self) -> Any:
        return [SGD(self.generator.parameters(), lr=0.01), Adam(self.critic.parameters(), lr=0.01)]


class Points(DataModule):
    inputs = Vector
    targets = Values

    def read(self) -> dict[Part, Records]:
        rows = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
        return {"train": Batch(rows, rows.sum(1, keepdim=True))}

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(2), Values(("sum",)))

    def encode(self, records: Any) -> Batch:
        return records


def test_a_model_may_have_several_optimizers(quiet_trainer: Trainer) -> None:
    data = Points(batch_size=10).prepare()
    model = Duel(data.spec)
    before = weights(model)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, data)
    assert all(not torch.equal(value, before[name]) for name, value in weights(model).items())
    assert {"train/duel", "val/loss", "val/mse"} <= set(figures(trainer))
    assert "train/loss" not in figures(trainer)  # It was not measured, and 0 would be a lie.


def test_a_model_may_have_no_optimizer(quiet_trainer: Trainer) -> None:
    class Mean(Duel):
        """A single pass that finds the mean."""

        def __init__(self, spec: Spec) -> None:
            super().__init__(spec)
            self.register_buffer("total", torch.zeros(2))

        def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
            self.total += batch.inputs.sum(0)

        def configure_optimizers(self) -> None:
            return None

    data = Points(batch_size=10).prepare()
    model = Mean(data.spec)
    quiet_trainer(max_epochs=1).fit(model, data)
    assert torch.allclose(model.total, data.parts["train"].inputs.sum(0))  # type: ignore[arg-type]
