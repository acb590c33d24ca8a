"""Scheduled sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Callback

from primer.checkpoints.resume import Resume
from primer.data.text.dates import Dates
from primer.errors import InputError
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.layers.scheduled_sampling import ScheduledSampling


class RecordTeacherForcing(Callback):
    """Records the teacher forcing probability of each epoch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.values.append(pl_module.teacher_forcing)


@pytest.fixture(scope="module")
def data() -> Dates:
    return Dates(samples=40, batch_size=16).prepare()


def build(data: Dates, **settings: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(data.spec, embedding_size=4, hidden_size=4, max_length=3, **settings)


def run(trainer: Callable[..., Any], data: Dates, model: Seq2Seq, path: Any = None, **settings: Any) -> list[float]:
    recorder = RecordTeacherForcing()
    trainer(callbacks=[Resume(), recorder], limit_val_batches=0, **settings).fit(model, datamodule=data, ckpt_path=path)
    return recorder.values


def test_the_probability_decreases_linearly_over_epochs(data: Dates, quiet_trainer) -> None:
    model = build(data, teacher_forcing=1.0, teacher_forcing_end=0.25)
    assert run(quiet_trainer, data, model, max_epochs=4) == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert run(quiet_trainer, data, model, max_epochs=1) == [1.0]


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 6},  # Two steps per epoch.
        {"max_epochs": 20, "max_steps": 6},
        {"max_epochs": 3, "max_steps": 1000},
        {"max_epochs": -1, "max_steps": 3, "accumulate_grad_batches": 2},
        {"max_epochs": 20, "max_steps": 3, "accumulate_grad_batches": 5},
    ],
)
def test_the_schedule_ends_in_the_last_epoch_of_the_run(data: Dates, settings: dict[str, int], quiet_trainer) -> None:
    model = build(data, teacher_forcing=1.0, teacher_forcing_end=0.25)
    assert run(quiet_trainer, data, model, **settings) == pytest.approx([1.0, 0.625, 0.25])


def test_the_probability_is_constant_by_default(data: Dates, quiet_trainer) -> None:
    assert run(quiet_trainer, data, build(data, teacher_forcing=0.6), max_epochs=3) == pytest.approx([0.6] * 3)


def test_a_resumed_run_continues_the_schedule(data: Dates, quiet_trainer, tmp_path) -> None:
    settings = {"teacher_forcing": 0.9, "teacher_forcing_end": 0.0}
    uninterrupted = build(data, **settings)
    assert run(quiet_trainer, data, uninterrupted, max_epochs=4) == pytest.approx([0.9, 0.6, 0.3, 0.0])

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")
                trainer.should_stop = True

    interrupted = build(data, **settings)
    quiet_trainer(callbacks=[Resume(), Stop()], limit_val_batches=0, max_epochs=4).fit(interrupted, datamodule=data)
    resumed = build(data, **settings)
    same_data = Dates(samples=40, batch_size=16).prepare()
    assert run(quiet_trainer, same_data, resumed, tmp_path / "half.ckpt", max_epochs=4) == pytest.approx([0.3, 0.0])
    for expected, actual in zip(uninterrupted.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(expected, actual)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (1.5, None, "teacher_forcing must be from 0 to 1, not 1.5"),
        (1.0, -0.1, "teacher_forcing_end must be from 0 to 1, not -0.1"),
    ],
)
def test_invalid_probabilities_are_errors(first: float, last: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ScheduledSampling(first, last)
