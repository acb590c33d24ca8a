"""What every model owes to the base: figures that no batch size changes, exact resumption, and penalties."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Rprop
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR
from torch.utils.data import DataLoader

from primer import training
from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.digits import Digits
from primer.errors import InputError
from primer.models.base import Model
from primer.models.mlp import MLP
from primer.models.state import plain, random_state, restore_random_state
from primer.optim import Muon, Schedule, SparseAdam, build_optimizer, decayed
from primer.spec import IGNORE, Classes, Nothing, Series, Spec, Tags, Tokens, Values, Vector

Trainer = Callable[..., L.Trainer]


class Sentences(DataModule):
    """Sentences of 1 to 9 words; the tag of a word is its last bit."""

    inputs = Tokens
    targets = Tags

    def __init__(self, size: int = 60, steps: int = 9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.steps = size, steps

    def read(self) -> dict[Part, Records]:
        chance = torch.Generator().manual_seed(0)
        lengths = torch.randint(1, 10, (self.size,), generator=chance)
        words = torch.randint(2, 20, (self.size, 9), generator=chance)
        return {"train": [row[:length].tolist() for row, length in zip(words, lengths, strict=True)]}

    def learn(self, train: Any) -> Spec:
        return Spec(Tokens(tuple(str(number) for number in range(20))), Tags(("even", "odd", "none")))

    def encode(self, records: Any) -> Batch:
        words = torch.zeros(len(records), self.steps, dtype=torch.long)
        for row, record in zip(words, records, strict=True):
            row[: len(record)] = torch.tensor(record)
        return Batch(words, torch.where(words > 0, words % 2, IGNORE), torch.tensor([len(one) for one in records]))


class Tagger(Model):
    """An embedding and a linear layer for each word."""

    inputs = Tokens
    targets = Tags

    def __init__(self, spec: Spec, size: int = 4, dropout: float = 0.0, sparse: bool = False) -> None:
        super().__init__(spec)
        assert isinstance(spec.input, Tokens)
        self.embedding = nn.Embedding(len(spec.input.vocabulary), size, sparse=sparse)
        self.embedding.weight.sparse = sparse  # type: ignore[assignment]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, self.outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.head(self.dropout(self.embedding(inputs)))


def digits(**settings: Any) -> Digits:
    return Digits(**{"train_size": 100, "batch_size": 16, **settings}).prepare()


def perceptron(data: DataModule, seed: int = 0, **settings: Any) -> MLP:
    torch.manual_seed(seed)
    return MLP(data.spec, **{"hidden_sizes": (16,), **settings})


def tagger(data: DataModule, seed: int = 0, **settings: Any) -> Tagger:
    torch.manual_seed(seed)
    return Tagger(data.spec, **settings)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def close(first: nn.Module, second: nn.Module, tolerance: float) -> bool:
    both = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), atol=tolerance, rtol=0) for a, b in both)


def figures(trainer: L.Trainer) -> dict[str, float]:
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


# What a model takes.


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(Series(3), Classes(("a", "b"))), "MLP does not take inputs of type Series"),
        (Spec(Vector(3), Tags(("a", "b"))), "MLP does not take targets of type Tags"),
        (Spec(Vector(3), Nothing()), "MLP does not take targets of type Nothing"),
    ],
)
def test_data_of_another_type_is_refused(spec: Spec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLP(spec)


# Figures.


@pytest.mark.parametrize("kind", ["digits", "sentences"])
def test_metrics_do_not_depend_on_the_batch_size(kind: str, quiet_trainer: Trainer) -> None:
    found = []
    for size in (1, 7, 64, 1000):
        data = digits(eval_batch_size=size) if kind == "digits" else Sentences(eval_batch_size=size).prepare()
        if kind == "digits" and size == 1:
            continue  # 360 batches show nothing that the sentences do not.
        model = perceptron(data) if kind == "digits" else tagger(data)
        trainer = quiet_trainer()
        trainer.test(model, data, verbose=False)
        found.append(figures(trainer))
    assert set(found[0]) >= {"test/loss", "test/accuracy", "test/precision", "test/recall", "test/f1"}
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5, abs=1e-7)


def test_metrics_do_not_depend_on_padding(quiet_trainer: Trainer) -> None:
    found = []
    for steps in (9, 30):
        data = Sentences(steps=steps).prepare()
        # Batches are cut to their longest sentence, so that padding has to be put in by hand.
        loader = list(data.loader("test", train=False))
        assert loader[0].inputs.shape[1] < 10
        more = (0, steps - loader[0].inputs.shape[1])
        padded = [
            Batch(nn.functional.pad(b.inputs, more), nn.functional.pad(b.targets, more, value=IGNORE), b.lengths)
            for b in loader
            if b.targets is not None
        ]
        trainer = quiet_trainer()
        trainer.test(tagger(data), dataloaders=DataLoader(padded, batch_size=None), verbose=False)  # type: ignore[arg-type]
        found.append(figures(trainer))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_the_loss_of_tags_is_the_mean_over_all_words(quiet_trainer: Trainer) -> None:
    data = Sentences(eval_batch_size=3).prepare()
    model = tagger(data)
    trainer = quiet_trainer()
    trainer.test(model, data, verbose=False)
    test = data.parts["test"]
    assert test.targets is not None
    real = test.targets != IGNORE
    losses = nn.functional.cross_entropy(model(test.inputs)[real], test.targets[real], reduction="none")
    assert figures(trainer)["test/loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
    right = model(test.inputs)[real].argmax(-1) == test.targets[real]
    assert figures(trainer)["test/accuracy"] == pytest.approx(right.float().mean().item(), rel=1e-6)


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
    wanted, _ = model.objective.loss(model.respond(train), train.targets)
    assert figures(trainer)["train/loss"] == pytest.approx(wanted.item(), rel=1e-5)


def test_the_training_loss_leaves_penalties_out(quiet_trainer: Trainer) -> None:
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
    wanted, _ = model.objective.loss(model.respond(train), train.targets)
    assert figures(trainer)["train/loss"] == pytest.approx(wanted.item(), rel=1e-4)
    assert int(model._sums["train"][1]) == 100
    assert trainer.global_step == 7


def test_one_value_is_enough_for_a_metric(quiet_trainer: Trainer) -> None:
    """R² takes two; a validation part of one must not stop a run."""

    class Line(DataModule):
        inputs = Vector
        targets = Values

        def read(self) -> dict[Part, Records]:
            rows = torch.arange(10.0).view(-1, 1)
            return {"train": Batch(rows, 2 * rows)}

        def learn(self, train: Any) -> Spec:
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


def test_evaluation_is_deterministic_and_changes_nothing(quiet_trainer: Trainer) -> None:
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
    assert torch.equal(model.respond(batch), model.respond(batch))
    assert torch.equal(model.predict(batch), model.predict_step(batch, 0))
    model.train()
    assert not torch.equal(model.respond(batch), model.respond(batch))


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
    with pytest.raises(InputError, match=r"set trainer\.max_epochs or trainer\.max_steps"):
        quiet_trainer(max_epochs=-1).fit(perceptron(data), data)


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


# Penalties.


def gradients(model: Model) -> dict[str, Tensor | None]:
    model.zero_grad()
    model.penalty().backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("optimizer", [Rprop, torch.optim.LBFGS, SparseAdam, Adam, AdamW, SGD, Muon])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_penalties_act_on_weights_alone(optimizer: Any, normalization: str) -> None:
    data = digits()
    model = perceptron(data, normalization=normalization)
    model.optimizer, model.l1, model.l2 = optimizer, 0.1, 0.01
    shrunk = {"hidden.0.weight", "head.weight"}
    built = build_optimizer(optimizer, model, model.l2)
    decay = {id(p): group.get("weight_decay", 0.0) for group in built.param_groups for p in group["params"]}
    for name, gradient in gradients(model).items():
        parameter = model.get_parameter(name)
        in_loss = optimizer in (Rprop, torch.optim.LBFGS, SparseAdam)
        if name in shrunk:
            wanted = 0.1 * parameter.sign() + (0.01 * parameter if in_loss else 0.0)
            assert gradient is not None
            assert torch.allclose(gradient, wanted)
            assert decay[id(parameter)] == (0.0 if in_loss else 0.01)
        else:
            assert gradient is None or not gradient.any()
            assert decay[id(parameter)] == 0.0


def test_norms_over_several_dimensions_are_norms() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.norm = nn.Conv2d(1, 2, 3), nn.LayerNorm([2, 3, 3])

    module = Normed()
    shrunk, others = decayed(module)
    assert [p.shape for p in shrunk] == [module.kernel.weight.shape]
    assert len(others) == 3


@pytest.mark.parametrize("optimizer", [partial(SGD, lr=0.1), partial(Rprop, lr=0.1)])
def test_l2_is_the_same_in_the_loss_and_in_the_optimizer(optimizer: Any, quiet_trainer: Trainer) -> None:
    """After one step of gradient descent: w - lr (g + l2 w)."""
    data = digits(batch_size="full")
    plain_model, shrunk = perceptron(data), perceptron(data)
    for model, l2 in ((plain_model, 0.0), (shrunk, 0.5)):
        model.optimizer, model.l2 = optimizer, l2
        quiet_trainer(max_epochs=1).fit(model, data)
    start = perceptron(data)
    for name, before in weights(start).items():
        difference = weights(plain_model)[name] - weights(shrunk)[name]
        if optimizer.func is SGD:
            wanted = 0.1 * 0.5 * before if name.endswith("weight") else torch.zeros_like(before)
            assert torch.allclose(difference, wanted, atol=1e-6)
        else:
            assert difference.any() == name.endswith("weight")


def test_the_optimizer_has_no_decay_of_its_own() -> None:
    """It would act on biases and norms, or silently not at all."""
    data = digits()
    with pytest.raises(InputError, match=r"regularization\.l2"):
        build_optimizer(partial(AdamW, weight_decay=0.1), perceptron(data))


# Stopping and going on.


class Stop(L.Callback):
    """Ends a run after some steps, as if it were killed: no hook runs after it."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step >= self.steps:
            raise InterruptedError


def run(
    trainer: Trainer, folder: Path, schedule: Schedule, saver: dict[str, Any], stop: int | None = None, path: Any = None
) -> tuple[L.Trainer, Model]:
    """Three epochs of seven steps, or some of them."""
    training.seed_everything(5)
    data = digits(train_size=110)
    if path is not None:
        torch.manual_seed(99)  # Whatever the random state is: it comes from the checkpoint.
    model = MLP(data.spec, hidden_sizes=(16,), dropout=0.4, normalization="batch")
    model.optimizer, model.schedule, model.l1 = partial(Adam, lr=0.01), schedule, 1e-4
    callbacks: list[L.Callback] = [ModelCheckpoint(dirpath=folder, filename="{step}", save_top_k=-1, **saver)]
    if stop is not None:
        callbacks.append(Stop(stop))
    made = trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    try:
        made.fit(model, data, ckpt_path=path, weights_only=True)
    except InterruptedError:
        assert stop is not None
    return made, model


SCHEDULES = {
    "none": Schedule(),
    "exponential": Schedule(partial(ExponentialLR, gamma=0.5), warmup=1),
    "one_cycle": Schedule(partial(OneCycleLR, max_lr=0.01, cycle_momentum=False), interval="step"),
    "plateau": Schedule(partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, threshold=10.0)),
}


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize(
    ("saver", "step"),
    [
        ({"every_n_train_steps": 3}, 9),  # In the middle of the second epoch.
        ({"every_n_train_steps": 7}, 14),  # After the last batch of the second, before it is validated.
        ({"monitor": "val/loss"}, 7),  # After the validation of the first.
        ({"monitor": "val/loss", "save_on_train_epoch_end": True}, 14),  # At the very end of the second.
    ],
    ids=["mid_epoch", "last_batch", "validation", "epoch_end"],
)
def test_a_resumed_run_equals_the_unbroken_one(
    schedule: str, saver: dict[str, Any], step: int, quiet_trainer: Trainer, tmp_path: Path
) -> None:
    if step == 14 and "every_n_train_steps" in saver and schedule == "plateau":
        pytest.skip("Lightning does not validate an epoch that was saved between its last batch and its validation")
    whole, model = run(quiet_trainer, tmp_path / "whole", SCHEDULES[schedule], saver)
    run(quiet_trainer, tmp_path / "broken", SCHEDULES[schedule], saver, stop=step + 1 if step < 21 else None)
    path = tmp_path / "broken" / f"step={step}.ckpt"
    resumed, again = run(quiet_trainer, tmp_path / "resumed", SCHEDULES[schedule], saver, path=path)

    assert resumed.global_step == whole.global_step == 21
    assert resumed.current_epoch == whole.current_epoch == 3
    for name, value in weights(model).items():
        assert torch.equal(weights(again)[name], value), name
    mine, theirs = (one.optimizers[0].state_dict() for one in (resumed, whole))
    assert mine["param_groups"] == theirs["param_groups"]
    for number, state in theirs["state"].items():
        assert all(
            torch.equal(torch.as_tensor(mine["state"][number][key]), torch.as_tensor(state[key])) for key in state
        )
    assert figures(resumed) == figures(whole)


def test_a_plateau_is_looked_for_where_there_is_a_validation(quiet_trainer: Trainer) -> None:
    data = digits()
    model = perceptron(data)
    model.schedule = SCHEDULES[
        "plateau"
    ]  # Nothing is good enough for it: each validation but the first brings it down.
    model.optimizer = partial(Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=7, check_val_every_n_epoch=2)
    trainer.fit(model, data)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-2 * 0.1**3)


def test_the_test_is_of_the_best_checkpoint(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class Ruin(L.Callback):
        """Undoes the second epoch."""

        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                for parameter in pl_module.parameters():
                    nn.init.zeros_(parameter)

    data = digits(train_size=None)
    model = perceptron(data)
    model.optimizer = partial(Adam, lr=0.01)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="best", monitor="val/loss")
    trainer = quiet_trainer(
        max_epochs=2, callbacks=[saver, Ruin()], enable_checkpointing=True, limit_train_batches=40
    )  # fmt: skip
    trainer.fit(model, data)
    last = {name: value.clone() for name, value in weights(model).items()}
    metrics = training.test(trainer, model, data, tmp_path)
    assert set(metrics) >= {"test/loss", "test/accuracy"}
    best = torch.load(saver.best_model_path, weights_only=True)
    assert best["epoch"] == 0
    assert all(torch.equal(value, best["state_dict"][name]) for name, value in weights(model).items())
    assert not all(torch.equal(value, last[name]) for name, value in weights(model).items())
    assert (tmp_path / "report.txt").read_text().startswith("class")


def test_without_checkpoints_the_test_is_of_the_model_as_it_is(quiet_trainer: Trainer, tmp_path: Path) -> None:
    data = digits()
    model = perceptron(data)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, data)
    last = weights(model)
    assert "test/accuracy" in training.test(trainer, model, data, tmp_path)
    assert all(torch.equal(value, last[name]) for name, value in weights(model).items())


def test_the_random_state_survives_a_round_trip() -> None:
    import random

    state = random_state()
    drawn = torch.rand(3), np.random.rand(3), random.random()
    restore_random_state(state)
    assert torch.equal(torch.rand(3), drawn[0])
    assert np.array_equal(np.random.rand(3), drawn[1])
    assert random.random() == drawn[2]


def test_plain_values() -> None:
    value = {"a": (1, 2.5), 3: None, "path": Path("x"), "n": np.float64(0.5), "m": np.int64(3), "b": np.bool_(True)}
    assert plain(value) == {"a": [1, 2.5], "3": None, "path": "x", "n": 0.5, "m": 3, "b": True}
    assert {type(one) for one in plain(value).values()} == {list, type(None), str, float, int, bool}


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

    def learn(self, train: Any) -> Spec:
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
