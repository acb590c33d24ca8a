"""Models that train together have the results of training alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import assert_same_run, history
from omegaconf import OmegaConf

from primer.errors import InputError, RunError
from primer.run import evaluate, train
from primer.run.members import Job
from primer.run.replay import Trained
from primer.run.together import train_together
from primer.run.training import resolve

DIGITS = (
    "accelerator=cpu", "data=digits", "data.train_size=150", "trainer.max_epochs=3",
    "callbacks=[_checkpoint,_last,_stop_on_nan]",
)  # fmt: skip


class Runs:
    """Trains runs that differ in some settings, alone and together."""

    def __init__(self, command: Any, folder: Path, overrides: tuple[str, ...], own: list[dict[str, Any]]) -> None:
        self.folder, self.own = folder, own
        self.cfg = command("train", "unused", *overrides)
        self.trained: list[Trained | None] = []

    def config(self, kind: str, number: int) -> Any:
        cfg = self.cfg.copy()
        cfg.paths.output_dir = str(self.folder / kind / str(number))
        for path, value in self.own[number].items():
            OmegaConf.update(cfg, path, value)
        return cfg

    def alone(self) -> None:
        for number in range(len(self.own)):
            train(self.config("alone", number))

    def train_together(self) -> list[Trained | None]:
        jobs = [Job(resolve(self.config("together", number)), []) for number in range(len(self.own))]
        self.trained = train_together(jobs)
        return self.trained

    def together(self) -> None:
        for number, trained in enumerate(self.train_together()):
            assert trained is not None
            train(self.config("together", number), trained=trained)

    def compare(self) -> None:
        for number in range(len(self.own)):
            assert_same_run(self.folder / "alone" / str(number), self.folder / "together" / str(number))


@pytest.fixture
def runs(command, tmp_path):
    return lambda overrides, own: Runs(command, tmp_path, (*DIGITS, *overrides), own)


LR, L1, L2, CLIP = "optimizer.lr", "regularization.l1", "regularization.l2", "trainer.gradient_clip_val"
PATIENCE = "regularization.early_stopping.patience"


@pytest.mark.parametrize(
    ("overrides", "own"),
    [
        (("optimizer=adam",), [{"seed": 0, LR: 0.001}, {"seed": 1, LR: 0.01}, {"seed": 1, LR: 0.001, L2: 0.1}]),
        (("optimizer=momentum", "scheduler=cosine"), [{CLIP: 1.0}, {L2: 0.01}, {"optimizer.momentum": 0.5}]),
        (("optimizer=adamw", "scheduler=one_cycle"), [{L2: 0.1}, {L1: 0.001, LR: 0.01}]),
        (("optimizer=sgd", "scheduler=step", "scheduler.step_size=1", "model.normalization=batch"), [{}, {"seed": 5}]),
        (("optimizer=sgd", "model=lenet", "scheduler.warmup=1"), [{"seed": 2}, {"seed": 3}]),
        (("trainer.max_epochs=5", "monitor=val/accuracy", f"{PATIENCE}=1"), [{LR: 0.1}, {LR: 1e-7}, {LR: 0.02}]),
        (
            ("data=diabetes", "scheduler=plateau", "scheduler.patience=0", "data.val_fraction=0"),
            [{LR: 0.1}, {LR: 0.001}],
        ),
        (("data=wine", "data.train_size=null", "data.batch_size=full"), [{"seed": 0}, {"seed": 1}]),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_equals_training_alone(runs, overrides: tuple[str, ...], own: list[dict[str, Any]]) -> None:
    pair = runs(overrides, own)
    pair.alone()
    pair.together()
    pair.compare()
    if PATIENCE in str(overrides):  # Those that stop are taken out, and the others go on.
        assert [len(history(pair.folder / "alone" / str(number))) for number in range(3)] == [3, 2, 5]


def test_a_model_that_diverges_fails_alone(runs, tmp_path: Path) -> None:
    """It ends with the same line, checkpoints and metrics as alone, and the others train to their end."""
    own = [{LR: 0.01}, {LR: 1e20}, {LR: 0.02}]
    pair = runs(("optimizer=momentum", "model.normalization=none", "trainer.max_epochs=4"), own)
    messages = []
    for kind in ("alone", "together"):
        trained = pair.train_together() if kind == "together" else [None] * 3
        for number in (0, 2):
            train(pair.config(kind, number), trained=trained[number])
        with pytest.raises(RunError, match="diverged in step") as raised:
            train(pair.config(kind, 1), trained=trained[1])
        messages.append(str(raised.value))
    assert messages[0].split(":")[0] == messages[1].split(":")[0]
    assert "try a lower optimizer.lr" in messages[1]
    pair.compare()


def test_an_invalid_run_does_not_stop_the_others(runs) -> None:
    pair = runs((), [{"seed": 0}, {"optimizer.betas": [2.0, 0.9]}, {"seed": 1}])
    first, invalid, last = pair.train_together()
    assert (invalid, len(first.history), len(last.history)) == (None, 3, 3)
    with pytest.raises(InputError, match="optimizer"):
        train(pair.config("together", 1))


def test_the_run_folder_can_be_evaluated_and_resumed(runs, command, tmp_path: Path) -> None:
    """A longer run that continues from it equals one that continues from the run alone."""
    pair = runs(("scheduler=cosine",), [{"seed": 3}, {"seed": 4}])
    pair.alone()
    pair.together()
    for number in range(2):
        folder = pair.folder / "together" / str(number)
        tested = evaluate(command("evaluate", f"evaluated/{number}", f"run={folder}", "accelerator=cpu"))
        found = json.loads((folder / "metrics.json").read_text())
        assert tested["test/loss"] == pytest.approx(found["test/loss"], abs=1e-6)
    for kind in ("alone", "together"):
        cfg = pair.config(kind, 1)
        cfg.trainer.max_epochs, cfg.resume = 5, cfg.paths.output_dir
        train(cfg)
    pair.compare()
    assert len(history(pair.folder / "together" / "1")) == 5
