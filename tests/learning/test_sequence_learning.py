"""Recurrent networks forecast better than without a model, remember what was marked, and differ in what is left of a
gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from primer.callbacks import Gradients
from primer.data.series.adding_problem import AddingProblem
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.recurrent import Recurrent
from primer.models.recurrent.rnn import RNN
from primer.run.training import train

Trainer = Callable[..., L.Trainer]


@pytest.mark.parametrize(("horizon", "test_fraction", "below"), [(1, 0.2, 1), (11, 0.2, 1.1), (11, 0.1, 1)])
def test_the_recipe_forecasts_sunspots_better_than_the_naive_ones(
    horizon: int, test_fraction: float, below: float, command: Callable[..., Any], record_figure: Callable[[str], None]
) -> None:
    settings = (f"data.horizon={horizon}", f"data.test_fraction={test_fraction}", "accelerator=cpu")
    found = train(command("train", "run", "experiment=sunspots_lstm", *settings))
    names = ("mase", "mase_seasonal", "relative_mae")
    figures = ", ".join(f"{name} {found[f'test/{name}']:.2f}" for name in names)
    record_figure(f"sunspots, {horizon} ahead, the last {test_fraction:.0%} of the years: {figures}")
    assert found["test/mase"] < 1
    assert found["test/mase_seasonal"] < below  # Eleven ahead on the larger part: 0.96 to 1.05, as the seed falls.
    assert found["test/relative_mae"] < 0.75


def test_a_gru_adds_what_the_mean_does_not_tell(quiet_trainer: Trainer) -> None:
    torch.manual_seed(0)
    data = AddingProblem(length=8, samples=6_000, batch_size=50).prepare()
    model = GRU(data.spec, hidden_size=32, bidirectional=False)
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=2, limit_val_batches=0)
    trainer.fit(model, data)
    (figures,) = trainer.test(model, data, verbose=False)
    assert figures["test/mse"] < 0.02  # Who says the mean has 0.167.


def test_a_gradient_vanishes_in_a_simple_network_and_not_in_an_lstm_that_forgets_little(
    quiet_trainer: Trainer, tmp_path: Path, record_figure: Callable[[str], None]
) -> None:
    data = AddingProblem(length=100, samples=400, batch_size=50).prepare()

    def left(kind: type[Recurrent], **settings: Any) -> float:
        """The gradient at the first of 100 steps, in parts of that at the last one, before anything is learnt."""
        torch.manual_seed(0)
        model, watch = kind(data.spec, hidden_size=32, bidirectional=False, **settings), Gradients(tmp_path, 1)
        model.optimizer = partial(torch.optim.SGD, lr=0.0)
        quiet_trainer(max_steps=2, limit_val_batches=0, callbacks=[watch]).fit(model, data)
        norms = {row.distance: row.norm for row in watch.rows if row.distance is not None}
        assert len(norms) == 100
        return norms[99] / norms[0]

    simple, gated = left(RNN), left(LSTM, forget_bias=5.0)
    record_figure(f"gradient over 100 steps: RNN {simple:.0e}, LSTM with forget_bias=5 {gated:.1f}")
    assert simple < 1e-9
    assert gated > 0.1
