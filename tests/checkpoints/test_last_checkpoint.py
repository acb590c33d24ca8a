"""Checkpoints within an epoch: resumed runs equal uninterrupted ones bit for bit."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pytest
import torch
from helpers.small_models import Trainer, digits, figures, weights
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAUROC

from primer.callbacks import EMA
from primer.checkpoints.last_checkpoint import LastCheckpoint
from primer.checkpoints.resume import Resume
from primer.errors import InputError, Interrupted, RunError
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.optim import Schedule
from primer.records.signals import signals
from primer.run import building


@pytest.fixture(autouse=True)
def _restore_signals() -> Any:
    yield
    signals.__init__()


class Measured(MLP):
    """Logs metrics of torchmetrics in training: one with sums, one with lists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mean, self.auroc = MeanMetric(), MulticlassAUROC(10)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.mean.update(self._latest[0])  # type: ignore[index]
        self.auroc.update(self(batch.inputs).detach(), batch.targets)
        self.log("train/mean", self.mean, on_step=False, on_epoch=True)
        self.log("train/auroc", self.auroc, on_step=False, on_epoch=True)
        return loss


class TwoOptimizers(MLP):
    """Trains its hidden layers and its last layer with an optimizer each."""

    def optimizer_groups(self) -> dict[str, torch.nn.Module]:
        return {"hidden": self.hidden, "head": self.head}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        step = self.step(batch)
        self._latest = step.loss.detach(), step.count
        self.optimize("hidden", step, retain_graph=True)
        self.optimize("head", self.step(batch))


class Watch(L.Callback):
    """Records the metrics after each epoch. Sends a signal in a batch of an epoch or, with -1, in its validation."""

    def __init__(self, epoch: int | None = None, batch: int = 0) -> None:
        self.epoch, self.batch = epoch, batch
        self.metrics: dict[int, dict[str, float]] = {}

    def send(self) -> None:
        signals.handle(signal.SIGTERM, None)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            self.send()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (trainer.current_epoch, -1) == (self.epoch, self.batch):
            self.send()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.metrics[trainer.current_epoch] = figures(trainer) | {
            "step": trainer.fit_loop.epoch_loop._batches_that_stepped
        }


def run(
    make: Trainer, folder: Path, settings: dict[str, Any], watch: Watch, path: Path | None = None
) -> tuple[L.Trainer, Model]:
    """Trains for three epochs of seven batches, or until a signal; resumes from ``path``."""
    building.seed_everything(5)
    settings = dict(settings)
    data, kind = digits(train_size=110), settings.pop("kind", MLP)
    if path is not None:
        torch.manual_seed(99)  # Must not matter: the random state comes from the checkpoint.
    model = kind(data.spec, hidden_sizes=(16,), dropout=0.4, normalization="batch")
    model.optimizer, model.schedule = partial(Adam, lr=0.01), Schedule()
    if settings.pop("one_cycle", False):
        model.optimizer = partial(SGD, lr=0.1)
        model.schedule = Schedule(partial(OneCycleLR, max_lr=0.1, cycle_momentum=False), interval="step")
    saver = LastCheckpoint(folder, minutes=settings.pop("minutes", None))
    callbacks: list[L.Callback] = [Resume(), watch, saver]
    if settings.pop("ema", False):
        callbacks.append(EMA(0.9))
    settings = {"max_epochs": 3} | settings
    trainer = make(callbacks=callbacks, enable_checkpointing=True, **settings)
    trainer.fit(model, data, ckpt_path=path, weights_only=True)
    return trainer, model


SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "one_cycle": {"one_cycle": True},
    "ema": {"ema": True},
    "accumulation": {"accumulate_grad_batches": 3},
    "validation_within_epochs": {"val_check_interval": 3},
    "max_steps": {"max_steps": 18, "max_epochs": -1},
    "two_optimizers": {"kind": TwoOptimizers},
    "torchmetrics": {"kind": Measured},
}


@pytest.mark.parametrize("where", [(0, 0), (0, 4), (1, -1), (1, 2)], ids=str)
@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_signal_saves_a_state_that_resumes_exactly(
    name: str, where: tuple[int, int], quiet_trainer: Trainer, tmp_path: Path
) -> None:
    whole, model = run(quiet_trainer, tmp_path / "whole", SETTINGS[name], unbroken := Watch())
    with pytest.raises(Interrupted, match="143") as error:
        run(quiet_trainer, tmp_path / "interrupted", SETTINGS[name], before := Watch(*where))
    folder = tmp_path / "interrupted"
    assert error.value.message.startswith("terminated: saved step ")
    assert "; to continue: python train.py resume=" in error.value.message
    signals.__init__()
    resumed, resumed_model = run(quiet_trainer, folder, SETTINGS[name], after := Watch(), folder / "last.ckpt")

    assert (resumed.global_step, resumed.current_epoch) == (whole.global_step, whole.current_epoch)
    for key, value in weights(model).items():
        assert torch.equal(weights(resumed_model)[key], value), key
    for found, expected in zip(resumed.optimizers, whole.optimizers, strict=True):
        assert str(found.state_dict()) == str(expected.state_dict())
    assert before.metrics | after.metrics == unbroken.metrics


def test_the_initial_state_resumes_exactly(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class Kill(Watch):
        def send(self) -> None:
            raise ConnectionError

        def on_exception(self, *args: Any) -> None:
            raise SystemExit  # As if it were killed: no other callback runs.

    for name in ("adam", "max_steps"):
        _, model = run(quiet_trainer, tmp_path / "whole", SETTINGS[name], unbroken := Watch())
        with pytest.raises(SystemExit):
            run(quiet_trainer, tmp_path / "killed", SETTINGS[name], Kill(0, 5))
        path = tmp_path / "killed" / "last.ckpt"
        assert torch.load(path, weights_only=True)["global_step"] == 0
        signals.__init__()
        _, resumed = run(quiet_trainer, tmp_path / "killed", SETTINGS[name], after := Watch(), path)
        assert after.metrics == unbroken.metrics
        assert all(torch.equal(value, weights(resumed)[key]) for key, value in weights(model).items())


def test_it_is_saved_by_time_within_an_epoch(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class Steps(Watch):
        steps: ClassVar[list[int]] = []

        def on_train_batch_end(self, *args: Any) -> None:
            self.steps.append(torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"])

    run(quiet_trainer, tmp_path, {"max_epochs": 1, "minutes": 1e-9, "accumulate_grad_batches": 2}, Steps())
    assert Steps.steps == [0, 0, 1, 1, 2, 2, 3]
    for minutes in (0, -1, float("nan")):
        with pytest.raises(InputError, match=r"callbacks\.last\.minutes must be more than 0"):
            LastCheckpoint(tmp_path, minutes=minutes)


def test_a_run_that_is_rejected_leaves_no_checkpoint(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class Reject(Watch):
        def on_validation_end(self, *args: Any) -> None:
            raise InputError("no such metric")

    with pytest.raises(InputError):
        run(quiet_trainer, tmp_path / "checkpoints", {}, Reject())
    assert not (tmp_path / "checkpoints").exists()


def test_weights_that_are_not_finite_are_not_saved(quiet_trainer: Trainer, tmp_path: Path) -> None:
    class Ruin(Watch):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                pl_module.head.weight.data[0, 0] = float("nan")  # type: ignore[union-attr]

    with pytest.raises(RunError, match=r"step 14 \(epoch 2\): the weight head.weight is not finite.*last\.ckpt"):
        run(quiet_trainer, tmp_path, {}, Ruin())
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 7
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_a_signal_after_the_last_step_does_not_suggest_to_continue(quiet_trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as error:
        run(quiet_trainer, tmp_path / "checkpoints", {"max_epochs": 1}, Watch(0, 6))
    assert "training is complete" in error.value.message
    assert "evaluate.py run=" in error.value.message
