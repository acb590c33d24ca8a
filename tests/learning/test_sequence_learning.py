"""Recurrent networks forecast better than without a model, and remember what was marked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lightning as L
import pytest
import torch

from primer.data.adding_problem import AddingProblem
from primer.data.series import TimeSeries
from primer.models.gru import GRU
from primer.models.lstm import LSTM

Trainer = Callable[..., L.Trainer]


@pytest.mark.parametrize("horizon", [1, 3])
def test_an_lstm_forecasts_sunspots_better_than_the_last_value(horizon: int, quiet_trainer: Trainer) -> None:
    torch.manual_seed(0)
    data = TimeSeries("sunspots", "sunspots", time="year", window=11, season=11, horizon=horizon, batch_size=16)
    model = LSTM(data.prepare().spec, hidden_size=16, bidirectional=False)
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=12, limit_val_batches=0)
    trainer.fit(model, data)
    (figures,) = trainer.test(model, data, verbose=False)
    assert figures["test/relative_mae"] < 0.75
    assert figures["test/mase_seasonal"] < 1.2  # The seasonal forecast itself: 1.3, in a part with larger cycles.


def test_a_gru_adds_what_the_mean_does_not_tell(quiet_trainer: Trainer) -> None:
    torch.manual_seed(0)
    data = AddingProblem(length=8, samples=6_000, batch_size=50).prepare()
    model = GRU(data.spec, hidden_size=32, bidirectional=False)
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=2, limit_val_batches=0)
    trainer.fit(model, data)
    (figures,) = trainer.test(model, data, verbose=False)
    assert figures["test/mse"] < 0.02  # Who says the mean has 0.167.
