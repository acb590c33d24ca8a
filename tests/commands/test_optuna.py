"""Sweeps with Optuna: pruning, resuming, samplers and several objectives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import Signals

import pytest

optuna = pytest.importorskip("optuna")

from primer.callbacks.pruning import Pruning, load_study  # noqa: E402
from primer.errors import Interrupted  # noqa: E402
from primer.records.jobs import read_jobs  # noqa: E402

OPTUNA = ("hydra/sweeper=optuna", "data=iris", "callbacks=[_checkpoint,_last,_stop_on_nan]", "logger=none")
RATE = "optimizer.lr=tag(log,interval(1e-6,1e-1))"


@pytest.fixture(autouse=True)
def _verbosity() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    yield
    optuna.logging.set_verbosity(level)


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in load_study(folder / "study.log").get_trials(deepcopy=False)]


def test_bad_trials_are_pruned_and_recorded_as_pruned(run_in_process) -> None:
    search = ("hydra.sweeper.n_trials=6", "hydra/sweeper/pruner=halving", "hydra/sweeper/sampler=random")
    result = run_in_process("train.py", "-m", *OPTUNA, *search, RATE, "trainer.max_epochs=4")
    assert result.status == 0, result.err
    folder = result.folder
    jobs, trials = read_jobs(folder), load_study(folder / "study.log").get_trials()
    assert [{"done": "COMPLETE"}.get(job.status, job.status.upper()) for job in jobs] == states(folder)
    pruned = [job.number for job in jobs if job.status == "pruned"]
    assert pruned
    for job, trial in zip(jobs, trials, strict=True):
        epochs = sorted(trial.intermediate_values)
        assert epochs == list(range(1, len(epochs) + 1))
        assert (len(epochs) < 4) == (job.number in pruned)
        assert trial.value == pytest.approx(job.values[0])
    assert "pruned" in (folder / "summary.csv").read_text()
    assert not (folder / str(pruned[0]) / "metrics.json").exists()


def test_a_trial_that_was_cut_off_resumes_from_its_last_checkpoint(run_in_process, monkeypatch) -> None:
    search = ("hydra.sweeper.n_trials=4", RATE, "trainer.max_epochs=3")
    original, fitted = Pruning.on_train_epoch_end, []

    def cut_off(self, trainer, pl_module) -> None:
        fitted.append((self.number, trainer.current_epoch + 1))
        if fitted[-1] == (1, 3) and fitted.count((1, 3)) == 1:
            raise Interrupted(Signals.SIGINT, "")
        original(self, trainer, pl_module)

    monkeypatch.setattr(Pruning, "on_train_epoch_end", cut_off)
    result = run_in_process("train.py", "-m", *OPTUNA, *search)
    assert result.status == 130
    folder = Path(result.err.strip().splitlines()[-1].rpartition("sweep.resume=")[2])
    assert states(folder) == ["COMPLETE", "RUNNING"]
    first = load_study(folder / "study.log").get_trials()
    fitted_before = len(fitted)
    result = run_in_process("train.py", "-m", f"sweep.resume={folder}", logs=False)
    assert result.status == 0, result.err
    trials = load_study(folder / "study.log").get_trials()
    assert states(folder) == ["COMPLETE"] * 4
    assert [trial.params for trial in trials[:2]] == [trial.params for trial in first]
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 4
    assert fitted[fitted_before:] == [(1, 3), *((number, epoch) for number in (2, 3) for epoch in (1, 2, 3))]
    assert [job.number for job in read_jobs(folder)] == [0, 1, 2, 3]
    again = run_in_process("train.py", "-m", f"sweep.resume={folder}", "hydra.sweeper.n_trials=5", logs=False)
    assert again.status == 0, again.err
    assert states(folder) == ["COMPLETE"] * 5


def test_a_grid_is_tried_once_and_the_worst_rate_fails(run_in_process) -> None:
    search = ("hydra/sweeper/sampler=grid", "optimizer=sgd", "optimizer.lr=0.1,1e30", "seed=0,1")
    result = run_in_process("train.py", "-m", *OPTUNA, *search, "trainer.max_epochs=1")
    assert result.status == 1
    assert sorted(states(result.folder)) == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]
    assert result.err.count("diverged in step") == 4  # When it happens, and at the end.


def test_several_objectives(run_in_process) -> None:
    objectives = ("optimized_metric=[val/loss,fit_seconds]", "hydra.sweeper.n_trials=2")
    result = run_in_process("train.py", "-m", *OPTUNA, RATE, *objectives, "trainer.max_epochs=1")
    assert result.status == 0, result.err
    study = load_study(result.folder / "study.log")
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert all(len(trial.values) == 2 for trial in study.trials)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("optimizer.lr=0.1",), "has nothing to search"),
        ((RATE, "hydra.sweeper.direction=up"), "must be minimize or maximize"),
        ((RATE, "monitor=lr"), "whether a higher lr is better is not known"),
        ((RATE, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials must be an integer of at least 1, not 0"),
        ((RATE, "hydra.sweeper.n_jobs=x"), "hydra.sweeper.n_jobs must be an integer of at least 1, not x"),
        ((RATE, "optimized_metric=test/loss", "hydra.sweeper.direction=maximize"), "but a lower test/loss is better"),
        ((RATE, "hydra/sweeper/pruner=median", "optimized_metric=test/loss"), "that is logged each epoch"),
        ((RATE, "hydra.sweeper.sampler._target_=os.system"), "is not allowed"),
        ((RATE, "hydra/sweeper/sampler=grid"), "GridSampler only supports discrete distributions"),
        (("sweep.resume=nowhere",), "nowhere is not the folder of a sweep"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run_in_process, overrides, message) -> None:
    result = run_in_process("train.py", "-m", *OPTUNA, *overrides)
    assert result.status == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize("metric", ["test/accuracy", "val/loss"])
def test_any_metric_of_a_run_is_optimized_in_its_own_direction(metric: str, run_in_process) -> None:
    settings = (f"optimized_metric={metric}", "monitor=val/accuracy", "mode=max", "hydra.sweeper.n_trials=2")
    result = run_in_process("train.py", "-m", *OPTUNA, RATE, *settings, "trainer.max_epochs=1")
    assert result.status == 0, result.err
    study = load_study(result.folder / "study.log")
    assert study.direction.name == ("MINIMIZE" if metric == "val/loss" else "MAXIMIZE")
    assert states(result.folder) == ["COMPLETE"] * 2


def test_a_direction_that_contradicts_the_metric_is_refused(run_in_process) -> None:
    wrong = ("hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=1")
    result = run_in_process("train.py", "-m", *OPTUNA, RATE, *wrong, "trainer.max_epochs=1")
    assert result.status == 2
    assert "hydra.sweeper.direction=maximize, but a lower val/loss is better" in result.err
