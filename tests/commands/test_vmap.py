"""Sweeps whose jobs are trained together leave what ordinary sweeps leave."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest
from helpers.runs import assert_same_run, checkpoints, history

from primer.records.jobs import read_jobs
from primer.run.together import Training

VMAP = (
    "hydra/launcher=vmap", "accelerator=cpu", "data=iris", "model.hidden_sizes=[8]", "model.normalization=none",
    "callbacks=[_checkpoint,_last,_stop_on_nan]",
)  # fmt: skip


def test_a_sweep_with_failed_and_rejected_jobs(run_in_process, tmp_path: Path) -> None:
    """The others end with their results, as in a sweep that runs one job after the other."""
    grid = ("optimizer=momentum", "seed=0,x", "optimizer.lr=0.1,1e30", "trainer.max_epochs=2")
    folders = []
    for launcher in ("hydra/launcher=basic", VMAP[0]):
        folders.append(tmp_path / launcher.split("=")[1])
        result = run_in_process("train.py", "-m", launcher, *VMAP[1:], *grid, f"hydra.sweep.dir={folders[-1]}")
        assert result.status == 1, result.err
        assert result.err.count("error: seed must be") == 2
        assert "3 of the jobs failed:" in result.err
    alone, together = folders
    expected, jobs = read_jobs(alone), read_jobs(together)
    assert [job.status for job in jobs] == ["done", "failed", "failed", "failed"]
    assert [(job.status, job.overrides, job.exit_status) for job in jobs] == [
        (job.status, job.overrides, job.exit_status) for job in expected
    ]
    assert jobs[1].reason.split(":")[0] == expected[1].reason.split(":")[0] == "diverged in step 2 (epoch 1, batch 2)"
    for number in (0, 1):
        assert_same_run(alone / str(number), together / str(number))
    tables = []
    for folder in folders:
        with (folder / "summary.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert [row["status"] for row in tables[0]] == [row["status"] for row in tables[1]]


def test_an_interrupted_sweep_is_resumed(run_in_process, tmp_path: Path, monkeypatch) -> None:
    """All jobs are saved at the end of the last complete epoch, and end as if nothing had happened."""
    grid = (*VMAP, "seed=0,1", "trainer.max_epochs=4")
    alone, folder, epochs = tmp_path / "uninterrupted", tmp_path / "interrupted", []
    assert run_in_process("train.py", "-m", *grid, f"hydra.sweep.dir={alone}").status == 0
    original = Training.train_epoch

    def interrupt(self: Training):
        epochs.append(1)
        if len(epochs) == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self)

    monkeypatch.setattr(Training, "train_epoch", interrupt)
    result = run_in_process("train.py", "-m", *grid, f"hydra.sweep.dir={folder}")
    assert result.status == 130
    assert f"python train.py -m sweep.resume={folder}" in result.err
    for job in read_jobs(folder):
        assert job.status == "running"
        assert checkpoints(Path(job.folder)) == ["best.ckpt", "last.ckpt"]
        assert len(history(Path(job.folder))) == 2
    result = run_in_process("train.py", "-m", f"sweep.resume={folder}", logs=False)
    assert result.status == 0, result.err
    assert len(epochs) == 5  # The rest is trained together, too.
    for number in (0, 1):
        assert_same_run(alone / str(number), folder / str(number))
    before = [(folder / str(number) / "metrics.json").read_text() for number in (0, 1)]
    assert run_in_process("train.py", "-m", f"sweep.resume={folder}", logs=False).status == 0
    assert [(folder / str(number) / "metrics.json").read_text() for number in (0, 1)] == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden_sizes=[4],[8]", "model.hidden_sizes: hydra/launcher=vmap trains models together that differ in"),
        (
            "+optimizer.decoupled_weight_decay=false,true",
            "optimizer.decoupled_weight_decay: hydra/launcher=vmap trains models together that differ in",
        ),
        ("hydra.launcher.models=0", "hydra.launcher.models must be a positive integer or null, not 0"),
    ],
)
def test_what_cannot_be_trained_together_is_rejected(run_in_process, tmp_path: Path, override, message) -> None:
    """In one line, before anything is trained, and without leaving anything."""
    sweep = tmp_path / "sweep"
    result = run_in_process("train.py", "-m", *VMAP, "seed=0,1", override, f"hydra.sweep.dir={sweep}")
    assert result.status == 2
    assert result.err.startswith(f"error: {message}")
    assert len(result.err.splitlines()) == 1
    assert not sweep.exists()


@pytest.mark.parametrize("setting", ["seed=0,1", "scheduler=cosine,none"])
def test_default_callbacks_and_different_schedules(setting: str, run_in_process) -> None:
    result = run_in_process("train.py", "-m", *VMAP[:-1], setting, "trainer.max_epochs=2")
    assert result.status == 0, result.err
    assert [job.status for job in read_jobs(result.folder)] == ["done"] * 2


def test_few_models_at_a_time(run_in_process) -> None:
    result = run_in_process("train.py", "-m", *VMAP, "seed=0,1,2", "trainer.max_epochs=1", "hydra.launcher.models=2")
    assert result.status == 0
    assert [line.split()[1] for line in result.out.splitlines() if line.startswith("training ")] == ["2", "1"]
    assert [job.status for job in read_jobs(result.folder)] == ["done"] * 3
