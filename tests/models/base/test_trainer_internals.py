"""The private names of Lightning that ``primer.models.base.trainer_internals`` relies on."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable

import lightning as L
import pytest
from helpers.small_models import digits, perceptron
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from primer.models.base.trainer_internals import call_between_batches, is_resumable, keep_signal_handlers


def test_lightning_still_uses_the_names_that_are_replaced() -> None:
    assert "self.advance(data_fetcher)" in inspect.getsource(_TrainingEpochLoop.run)
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(_TrainingEpochLoop.advance)
    assert "self._iteration_based_training()" in inspect.getsource(_FitLoop)
    assert "results.batch = batch" in inspect.getsource(logger_connector)
    assert "self._register_signal(signal.SIGTERM, " in inspect.getsource(_SignalConnector)
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
