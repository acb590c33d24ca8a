"""Exact resumption, the best checkpoint, and the state that both need."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from helpers.small_models import Trainer, digits, figures, perceptron, weights
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, OneCycleLR

from primer.checkpoints.random_state import random_state, restore_random_state
from primer.checkpoints.resume import Resume
from primer.checkpoints.saving import Checkpoint
from primer.models.base import Model
from primer.models.base.arguments import plain
from primer.models.feedforward.mlp import MLP
from primer.optim import Schedule
from primer.run import building, training


class Interrupt(L.Callback):
    """Ends a run after a number of steps as if it were killed: no later hook runs."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step >= self.steps:
            raise InterruptedError


def run(
    quiet_trainer: Trainer,
    folder: Path,
    schedule: Schedule,
    saver: dict[str, Any],
    stop: int | None = None,
    path: Any = None,
) -> tuple[L.Trainer, Model]:
    """Trains for three epochs of seven steps. Interrupts the run after ``stop`` steps; resumes from ``path``."""
    building.seed_everything(5)
    data = digits(train_size=110)
    if path is not None:
        torch.manual_seed(99)  # Must not matter: the random state comes from the checkpoint.
    model = MLP(data.spec, hidden_sizes=(16,), dropout=0.4, normalization="batch")
    model.optimizer, model.schedule, model.l1 = partial(Adam, lr=0.01), schedule, 1e-4
    callbacks: list[L.Callback] = [Resume(), ModelCheckpoint(dirpath=folder, filename="{step}", save_top_k=-1, **saver)]
    if stop is not None:
        callbacks.append(Interrupt(stop))
    trainer = quiet_trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    try:
        trainer.fit(model, data, ckpt_path=path, weights_only=True)
    except InterruptedError:
        assert stop is not None
    return trainer, model


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
        ({"every_n_train_steps": 7}, 14),  # After the last batch of the second epoch, before its validation.
        ({"monitor": "val/loss"}, 7),  # After the validation of the first epoch.
        ({"monitor": "val/loss", "save_on_train_epoch_end": True}, 14),  # At the very end of the second epoch.
    ],
    ids=["mid_epoch", "last_batch", "validation", "epoch_end"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    schedule: str, saver: dict[str, Any], step: int, quiet_trainer: Trainer, tmp_path: Path
) -> None:
    if step == 14 and "every_n_train_steps" in saver and schedule == "plateau":
        pytest.skip("Lightning does not validate an epoch that was saved between its last batch and its validation")
    whole, model = run(quiet_trainer, tmp_path / "whole", SCHEDULES[schedule], saver)
    run(quiet_trainer, tmp_path / "interrupted", SCHEDULES[schedule], saver, stop=step + 1 if step < 21 else None)
    path = tmp_path / "interrupted" / f"step={step}.ckpt"
    resumed, resumed_model = run(quiet_trainer, tmp_path / "resumed", SCHEDULES[schedule], saver, path=path)

    assert resumed.global_step == whole.global_step == 21
    assert resumed.current_epoch == whole.current_epoch == 3
    for name, value in weights(model).items():
        assert torch.equal(weights(resumed_model)[name], value), name
    found, expected = (trainer.optimizers[0].state_dict() for trainer in (resumed, whole))
    assert found["param_groups"] == expected["param_groups"]
    for number, state in expected["state"].items():
        assert all(
            torch.equal(torch.as_tensor(found["state"][number][key]), torch.as_tensor(state[key])) for key in state
        )
    assert figures(resumed) == figures(whole)


class RecordLearningRates(L.Callback):
    """Records the learning rate of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(CosineAnnealingLR),
        Schedule(CosineAnnealingLR, interval="step", warmup=0.2),
        SCHEDULES["one_cycle"],
        SCHEDULES["exponential"],
    ],
    ids=["cosine", "warmup", "one_cycle", "exponential"],
)
def test_resuming_with_more_epochs_follows_the_longer_schedule(
    schedule: Schedule, quiet_trainer: Trainer, tmp_path: Path
) -> None:
    def rates(epochs: int, path: Path | None = None) -> list[float]:
        data, recorder = digits(train_size=110), RecordLearningRates()
        model = perceptron(data)
        model.optimizer, model.schedule = partial(Adam, lr=0.01), schedule
        trainer = quiet_trainer(max_epochs=epochs, callbacks=[recorder, Resume()])
        trainer.fit(model, data, ckpt_path=path, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return recorder.rates

    whole, short = rates(5), rates(2)
    assert len(whole) == 35
    assert rates(5, tmp_path / "2.ckpt") == pytest.approx(whole[14:], rel=1e-9, abs=1e-12)
    if schedule is not SCHEDULES["exponential"]:
        assert short != pytest.approx(whole[:14])  # The shorter schedule ends earlier.


def test_a_plateau_schedule_steps_only_after_validation(quiet_trainer: Trainer) -> None:
    data = digits()
    model = perceptron(data)
    # No improvement reaches its threshold: each validation but the first lowers the learning rate.
    model.schedule = SCHEDULES["plateau"]
    model.optimizer = partial(Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=7, check_val_every_n_epoch=2)
    trainer.fit(model, data)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-2 * 0.1**3)


def test_the_best_checkpoint_is_tested(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class ResetWeights(L.Callback):
        """Sets the weights to zero before the second epoch."""

        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                for parameter in pl_module.parameters():
                    nn.init.zeros_(parameter)

    data = digits(train_size=None)
    model = perceptron(data)
    model.optimizer = partial(Adam, lr=0.01)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="best", monitor="val/loss")
    trainer = quiet_trainer(
        max_epochs=2, callbacks=[saver, ResetWeights()], enable_checkpointing=True, limit_train_batches=40
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


def test_a_run_that_is_killed_while_saving_keeps_the_previous_checkpoint(
    quiet_trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_partially(self: L.Trainer, filepath: str, *args: Any) -> None:
        if self.current_epoch:
            Path(filepath).write_bytes(b"half")
            raise KeyboardInterrupt
        save(self, filepath, *args)

    save = L.Trainer.save_checkpoint
    monkeypatch.setattr(L.Trainer, "save_checkpoint", save_partially)
    data = digits()
    saver = Checkpoint(dirpath=tmp_path, filename="last", enable_version_counter=False)
    trainer = quiet_trainer(max_epochs=2, callbacks=[saver], enable_checkpointing=True)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trainer.fit(perceptron(data), data)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0


@pytest.mark.parametrize("error", [RuntimeError("Connection closed by peer"), OSError(28, "No space left on device")])
def test_a_checkpoint_that_cannot_be_completed_is_deleted(
    error: Exception, quiet_trainer: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The barrier after saving fails in each process if another one is killed."""

    def save_then_fail(self: L.Trainer, filepath: str, *args: Any) -> None:
        save(self, filepath, *args)
        if self.current_epoch == 1:
            raise error

    save = L.Trainer.save_checkpoint
    monkeypatch.setattr(L.Trainer, "save_checkpoint", save_then_fail)
    data = digits()
    saver = Checkpoint(dirpath=tmp_path, filename="last", enable_version_counter=False)
    trainer = quiet_trainer(max_epochs=2, callbacks=[saver], enable_checkpointing=True)
    with pytest.raises(type(error)):
        trainer.fit(perceptron(data), data)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_without_checkpoints_the_current_model_is_tested(quiet_trainer: Trainer, tmp_path: Path) -> None:
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
    expected = torch.rand(3), np.random.rand(3), random.random()
    restore_random_state(state)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    assert random.random() == expected[2]


def test_plain_values() -> None:
    value = {"a": (1, 2.5), 3: None, "path": Path("x"), "n": np.float64(0.5), "m": np.int64(3), "b": np.bool_(True)}
    assert plain(value) == {"a": [1, 2.5], "3": None, "path": "x", "n": 0.5, "m": 3, "b": True}
    assert {type(item) for item in plain(value).values()} == {list, type(None), str, float, int, bool}
