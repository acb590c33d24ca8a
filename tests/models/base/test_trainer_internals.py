"""The private names of Lightning that ``primer.models.base.trainer_internals`` relies on."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable

import lightning as L
import pytest
import torch
from helpers.small_models import digits, perceptron
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from primer.models.base.trainer_internals import (
    call_between_batches,
    finish_epochs,
    is_resumable,
    keep_signal_handlers,
    set_epochs,
    should_stop,
)
from primer.optim import Schedule


def test_lightning_still_uses_the_names_that_are_replaced() -> None:
    assert "self.advance(data_fetcher)" in inspect.getsource(_TrainingEpochLoop.run)
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(_TrainingEpochLoop.advance)
    assert "self._iteration_based_training()" in inspect.getsource(_FitLoop)
    assert "results.batch = batch" in inspect.getsource(logger_connector)
    assert "self._register_signal(signal.SIGTERM, " in inspect.getsource(_SignalConnector)
    assert "self._batches_that_stepped" in inspect.getsource(_TrainingEpochLoop)
    assert "self._evaluate_stopping_criteria(" in inspect.getsource(L.pytorch.callbacks.EarlyStopping)
    for name in ("_should_accumulate", "_should_check_val_fx"):
        assert callable(getattr(_TrainingEpochLoop, name))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [False, True, True, True, True, True, True] * 2),
        ({"accumulate_grad_batches": 3}, [False, False, False, True, False, False, True] * 2),
        ({"val_check_interval": 2}, [False, True, False, True, False, True, False] * 2),
    ],
    ids=["plain", "accumulation", "validation"],
)
def test_states_between_two_batches(
    settings: dict[str, int], expected: list[bool], quiet_trainer: Callable[..., L.Trainer]
) -> None:
    data, states = digits(train_size=110), []
    trainer = quiet_trainer(max_epochs=2, **settings)
    call_between_batches(trainer, lambda: states.append(is_resumable(trainer)))
    trainer.fit(perceptron(data), data)
    assert states == expected


def test_lightning_does_not_handle_sigterm(quiet_trainer: Callable[..., L.Trainer]) -> None:
    handlers = []

    class Look(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            handlers.append(signal.getsignal(signal.SIGTERM))

    data = digits()
    trainer = quiet_trainer(max_epochs=1, callbacks=[Look()])
    keep_signal_handlers(trainer)
    trainer.fit(perceptron(data), data)
    assert handlers == [signal.getsignal(signal.SIGTERM)] == [signal.SIG_DFL]


def test_epochs_that_are_set_equal_those_of_a_training(quiet_trainer: Callable[..., L.Trainer]) -> None:
    states = []

    class Look(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.max_epochs == 3:
                set_epochs(trainer, 2, 7)
                states.append(trainer.fit_loop.state_dict())
                finish_epochs(trainer)
                states.append(trainer.current_epoch)
                trainer.should_stop = True

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                states.append(trainer.fit_loop.state_dict())

    for epochs in (2, 3):
        data = digits()
        model = perceptron(data)
        model.schedule = Schedule(torch.optim.lr_scheduler.CosineAnnealingLR, interval="step")
        quiet_trainer(max_epochs=epochs, callbacks=[Look()]).fit(model, data)
    assert states[0] == states[1]
    assert states[2] == 2


def test_early_stopping_outside_of_a_trainer() -> None:
    callback = L.pytorch.callbacks.EarlyStopping("val/loss", patience=2)
    assert [should_stop(callback, value, epoch) for epoch, value in enumerate((1.0, 0.5, 0.6, 0.7))] == [
        False, False, False, True
    ]  # fmt: skip
    assert (callback.stopped_epoch, callback.wait_count) == (3, 2)
