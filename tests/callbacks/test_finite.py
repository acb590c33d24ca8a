"""A run that has diverged stops with a message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lightning as L
import pytest
import torch
from torch.optim import SGD

from primer.callbacks.finite import StopOnNaN
from primer.data.images.digits import Digits
from primer.models.feedforward.mlp import MLP


@pytest.mark.parametrize(("lr", "epochs"), [(1e30, 1), (0.01, 3)])
def test_nan_loss_stops_the_run(
    lr: float, epochs: int, quiet_trainer: Callable[..., L.Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    data = Digits(train_size=100, batch_size=20).prepare()
    model = MLP(data.spec)
    model.optimizer = partial(SGD, lr=lr)
    trainer = quiet_trainer(max_epochs=3, callbacks=[StopOnNaN()])
    trainer.fit(model, data)
    assert trainer.current_epoch == epochs
    printed = capsys.readouterr().out
    assert ("stopped: train/loss is nan in epoch 1; try a lower optimizer.lr" in printed) == (epochs == 1)
    assert trainer.callback_metrics["train/loss"].isfinite() == (epochs == 3)
