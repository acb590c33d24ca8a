"""Sweeps run all of their jobs and name those that failed."""

from __future__ import annotations

import json
from pathlib import Path
from signal import Signals

import pytest
from lightning import Trainer

from primer.checkpoints.last_checkpoint import LastCheckpoint
from primer.data.tables.tables import Wine
from primer.errors import Interrupted
from primer.records.jobs import read_jobs

TINY = ("data=iris", "trainer.max_epochs=1", "test=false", "callbacks=none")


def finished(logs: Path) -> list[str]:
    """Returns the numbers of the jobs that have results."""
    return sorted(file.parent.name for file in logs.rglob("metrics.json"))


@pytest.mark.parametrize(
    ("sweep", "done", "failed"),
    [
        (("data.folds=5", "data.fold=0,7,1"), ["0", "2"], ["  job 1 (data.fold=7): "]),
        (("data.train_size=5000,50",), ["1"], ["  job 0 (data.train_size=5000): "]),
        (("seed=0,x",), ["0"], ["  job 1 (seed=x): "]),  # Found by the checks before torch is imported.
    ],
    ids=str,
)
def test_rejected_jobs_do_not_stop_a_sweep(run_in_process, tmp_path, sweep, done, failed) -> None:
    result = run_in_process("train.py", "-m", *sweep, *TINY)
    assert result.status == 2
    assert finished(tmp_path) == done
    *errors, header = [line for line in result.err.splitlines() if not line.startswith("  ")]
    assert len(errors) == len(failed)
    assert header == f"{len(failed)} of the jobs failed:"
    for line, expected in zip(result.err.splitlines()[-len(failed) :], failed, strict=True):
        assert line.startswith(expected)
        assert line.endswith(errors[0].removeprefix("error: "))


def test_a_job_that_crashes_does_not_stop_a_sweep(run_in_process, tmp_path, monkeypatch) -> None:
    def crash(self) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(Wine, "read", crash)
    result = run_in_process("train.py", "-m", "data=wine,iris", "data.fold=0,9", "data.folds=5", *TINY[1:])
    assert result.status == 1
    assert finished(tmp_path) == ["2"]
    lines = result.err.splitlines()[-4:]
    assert lines[0] == "3 of the jobs failed:"
    assert [line.split()[1] for line in lines[1:]] == ["0", "1", "3"]
    assert lines[1].endswith("RuntimeError: two lines")
    assert json.loads(next(tmp_path.rglob("metrics.json")).read_text())["epochs"] == 1


@pytest.mark.parametrize(("signal", "status"), [(Signals.SIGINT, 130), (Signals.SIGTERM, 143)])
def test_an_interrupted_job_ends_a_sweep(run_in_process, tmp_path, monkeypatch, signal, status) -> None:
    def interrupt(self) -> None:
        raise Interrupted(signal, "")

    monkeypatch.setattr(Wine, "read", interrupt)
    result = run_in_process("train.py", "-m", "data=wine,iris", *TINY[1:])
    assert result.status == status
    assert not finished(tmp_path)


def test_a_resumed_grid_runs_what_is_left(run_in_process, tmp_path, monkeypatch) -> None:
    """Jobs that are done are not run again, one that was cut off resumes, and one that failed is tried again."""
    original, started = LastCheckpoint.on_train_epoch_end, []

    def cut_off(self, trainer, pl_module) -> None:
        original(self, trainer, pl_module)
        started.append((Path(self.dirpath).parent.name, trainer.current_epoch))
        if started == [("1", 0), ("1", 1), ("3", 0)]:
            raise Interrupted(Signals.SIGINT, "")

    monkeypatch.setattr(LastCheckpoint, "on_train_epoch_end", cut_off)
    grid = ("data=iris", "seed=0,1", "data.train_size=5000,40", "trainer.max_epochs=2", "callbacks=[_checkpoint,_last]")
    result = run_in_process("train.py", "-m", *grid)
    assert result.status == 130
    (folder,) = (tmp_path / "logs" / "train" / "sweeps").iterdir()
    assert result.err.splitlines()[-1].endswith(f"python train.py -m sweep.resume={folder}")
    refused = run_in_process("train.py", "-m", f"sweep.resume={folder}", "seed=0,1,2", logs=False)
    assert (refused.status, "cannot change seed=0,1,2" in refused.err) == (2, True)
    before, metrics = len(started), (folder / "1" / "metrics.json").read_text()
    result = run_in_process("train.py", "-m", *grid, f"sweep.resume={folder}")
    assert result.status == 2  # Too few samples remain a mistake.
    assert finished(tmp_path) == ["1", "3"]
    assert [job.status for job in read_jobs(folder)] == ["failed", "done", "failed", "done"]
    assert started[before:] == [("3", 1)]
    assert (folder / "1" / "metrics.json").read_text() == metrics
    taken = run_in_process("train.py", "-m", *grid, f"hydra.sweep.dir={folder}")
    assert (taken.status, "has the jobs of another sweep" in taken.err) == (2, True)


def test_a_job_that_was_cut_off_while_it_was_tested_starts_again(run_in_process, tmp_path, monkeypatch) -> None:
    def cut_off(self, *arguments, **settings) -> None:
        raise Interrupted(Signals.SIGINT, "")

    grid = ("data=iris", "seed=0,1", "trainer.max_epochs=1", "callbacks=[_checkpoint,_last]")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "test", cut_off)
        assert run_in_process("train.py", "-m", *grid).status == 130
    (folder,) = (tmp_path / "logs" / "train" / "sweeps").iterdir()
    result = run_in_process("train.py", "-m", f"sweep.resume={folder}", logs=False)
    assert result.status == 0, result.err
    assert result.err.count("note: the job was cut off while it was tested, so it starts again") == 1
    assert [job.status for job in read_jobs(folder)] == ["done", "done"]


def test_a_sweep_leaves_out_callbacks(run_in_process) -> None:
    settings = ("seed=0,1", "debug=fast", "~callbacks.pictures", "~callbacks.report", "~logger")
    result = run_in_process("train.py", "-m", *settings)
    assert result.status == 0, result.err
    assert not list(result.folder.rglob("pictures"))
    assert not list(result.folder.rglob("metrics.csv"))
    rejected = run_in_process("train.py", "-m", "seed=0,1", "~optimizer.lr", logs=False)
    assert rejected.status == 2
    assert rejected.err.startswith("error: ~optimizer.lr: a sweep cannot delete a setting; set it to null")
