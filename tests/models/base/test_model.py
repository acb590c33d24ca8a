"""The base model: accepted data, training steps, and models with custom training."""

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
from primer.run import building
from primer.spec import Classes, NoTarget, Series, Spec, Tags, Values, Vector


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(Series(3), Classes(("a", "b"))), "MLP does not accept inputs of type Series"),
        (Spec(Vector(3), Tags(("a", "b"))), "MLP does not accept targets of type Tags"),
        (Spec(Vector(3), NoTarget()), "MLP does not accept targets of type NoTarget"),
    ],
)
def test_data_of_another_type_is_rejected(spec: Spec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLP(spec)


# Training steps.


def trained(
    quiet_trainer: Trainer, data: DataModule, model: Model, batches: int, penalties: tuple[float, float] = (0, 0)
) -> Model:
    sparse = any(getattr(parameter, "sparse", False) for parameter in model.parameters())
    # A large eps makes Adam smooth, so that rounding errors of the gradient do not grow in the step.
    model.optimizer = partial(SparseAdam, lr=0.5, eps=1.0) if sparse else partial(SGD, lr=0.5)
    model.l1, model.l2 = penalties
    quiet_trainer(max_epochs=2, accumulate_grad_batches=batches).fit(model, data)
    return model


@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.01, 0.01)])
@pytest.mark.parametrize("size", [96, 80, 84])  # The last step is complete, has fewer batches, or a smaller batch.
def test_accumulation_equals_one_large_batch(size: int, penalties: tuple[float, float], quiet_trainer: Trainer) -> None:
    small, large = digits(train_size=size, batch_size=8), digits(train_size=size, batch_size=32)
    accumulated = trained(quiet_trainer, small, perceptron(small), 4, penalties)
    expected = trained(quiet_trainer, large, perceptron(large), 1, penalties)
    assert close(accumulated, expected, 1e-6)
    assert not close(accumulated, perceptron(large), 1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_accumulation_weights_batches_by_their_number_of_words(sparse: bool, quiet_trainer: Trainer) -> None:
    small, large = Sentences(size=100, batch_size=8).prepare(), Sentences(size=100, batch_size=24).prepare()
    for data in (small, large):
        # Without buckets, three batches of 8 are one batch of 24.
        data.loader = partial(data.loader, bucket=False)  # type: ignore[method-assign]
    accumulated = trained(quiet_trainer, small, tagger(small, sparse=sparse), 3)
    expected = trained(quiet_trainer, large, tagger(large, sparse=sparse), 1)
    assert close(accumulated, expected, 1e-6)
    assert not close(accumulated, tagger(large), 1e-3)


def test_lbfgs_rejects_accumulation(quiet_trainer: Trainer) -> None:
    """It evaluates the loss several times per step, which would accumulate the gradients of one batch."""
    data = digits()
    model = perceptron(data)
    model.optimizer = torch.optim.LBFGS
    with pytest.raises(InputError, match=r"LBFGS .*accumulate_grad_batches=2"):
        quiet_trainer(max_epochs=1, accumulate_grad_batches=2).fit(model, data)


def test_a_run_without_an_end_is_rejected(quiet_trainer: Trainer) -> None:
    data = digits()
    with pytest.raises(InputError, match=r"set trainer\.max_epochs, trainer\.max_steps or trainer\.max_time"):
        quiet_trainer(max_epochs=-1).fit(perceptron(data), data)


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"max_epochs": 4}, 4),
        ({"max_epochs": 4, "accumulate_grad_batches": 3}, 4),
        ({"max_epochs": 20, "max_steps": 25}, 4),  # Seven steps per epoch.
        ({"max_epochs": 20, "max_steps": 8, "accumulate_grad_batches": 3}, 3),
        ({"max_epochs": 4, "max_steps": 1000}, 4),
        ({"max_epochs": -1, "max_steps": 28}, 4),
    ],
)
def test_the_length_of_a_schedule_is_that_of_the_run(
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
        building.seed_everything(seed)
        data = digits()
        model = MLP(data.spec, hidden_sizes=(8,), dropout=0.3)
        quiet_trainer(max_epochs=2).fit(model, data)
        return model

    first = run(0)
    torch.rand(7)
    assert close(first, run(0), 0.0)
    assert not close(first, run(1), 1e-3)


def test_zero_is_a_seed_and_none_draws_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert building.seed_everything(0) == 0
    assert torch.initial_seed() == 0
    drawn = set()
    for _ in range(3):
        monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
        drawn.add(building.seed_everything(None))
    assert len(drawn) == 3


# Models with custom training.


class TwoPlayerModel(Model):
    """A generator and a critic, each with its own optimizer."""

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
        self.log("train/critic", loss.detach())

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


def test_a_model_can_have_several_optimizers(quiet_trainer: Trainer) -> None:
    data = Points(batch_size=10).prepare()
    model = TwoPlayerModel(data.spec)
    before = weights(model)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, data)
    assert all(not torch.equal(value, before[name]) for name, value in weights(model).items())
    assert {"train/critic", "val/loss", "val/mse"} <= set(figures(trainer))
    assert "train/loss" not in figures(trainer)  # It was not computed, and 0 would be wrong.


def test_a_model_can_do_without_an_optimizer(quiet_trainer: Trainer) -> None:
    class Sum(TwoPlayerModel):
        """Computes the sum of the inputs in a single pass."""

        def __init__(self, spec: Spec) -> None:
            super().__init__(spec)
            self.register_buffer("total", torch.zeros(2))

        def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
            self.total += batch.inputs.sum(0)

        def configure_optimizers(self) -> None:
            return None

    data = Points(batch_size=10).prepare()
    model = Sum(data.spec)
    quiet_trainer(max_epochs=1).fit(model, data)
    assert torch.allclose(model.total, data.parts["train"].inputs.sum(0))  # type: ignore[arg-type]
