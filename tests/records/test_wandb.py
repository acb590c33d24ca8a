"""What Weights & Biases records, read back from its offline files."""

from __future__ import annotations

import csv
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.commands import CommandResult
from helpers.run_folders import figures
from helpers.wandb_files import RecordedRun, recorded_runs

from primer.callbacks import StopOnNaN
from primer.cli.checks import check_command
from primer.config.paths import ROOT
from primer.errors import InputError
from primer.records import wandb as trackers

client = pytest.importorskip("wandb")

Run = Callable[..., CommandResult]

SMALL = ("data=iris", "trainer.max_epochs=2", "logger=wandb", "callbacks.pictures=null", "callbacks.predictions=null")


@pytest.fixture(autouse=True)
def _logged_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)


def interrupt(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Makes the n-th training step send SIGTERM to this process."""
    original, calls = StopOnNaN.on_before_backward, iter(range(1, 10**6))

    def send(*args: Any, **kwargs: Any) -> None:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        original(*args, **kwargs)

    monkeypatch.setattr(StopOnNaN, "on_before_backward", send)


def check_history(run: RecordedRun, folder: Path, epochs: set[int]) -> None:
    """Checks that a run has the metrics of some epochs of ``metrics.csv``."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["epoch"]) in epochs]
    for name in ("train/loss", "val/loss", "val/accuracy"):
        expected = [(int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-5)) for row in rows]
        assert run.values(name) == expected, name


def test_a_complete_run(run_in_process: Run) -> None:
    settings = ("project=course", "entity=lab", "group=week3", "job_type=homework", "name=first", "tags=[a,b]")
    result = run_in_process(
        "train.py", *SMALL, *(f"logger.wandb.{one}" for one in settings), "logger.wandb.notes='with notes'",
        "logger.wandb.checkpoints=true",
    )  # fmt: skip
    assert result.status == 0, result.err
    assert not result.err
    folder = result.folder
    (recorded,) = recorded_runs(folder)
    run = recorded.run
    assert (run["project"], run["entity"], run["run_group"], run["job_type"]) == ("course", "lab", "week3", "homework")
    assert (run["display_name"], run["tags"], run["notes"]) == ("first", ["a", "b"], "with notes")
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    for group in ("model", "data", "optimizer", "trainer"):
        assert recorded.config[group] == resolved[group]
    assert recorded.config["monitor"] == "val/loss"
    check_history(recorded, folder, {0, 1})
    metrics = figures(folder)
    for name in ("test/loss", "test/accuracy"):
        assert recorded.summary[name] == pytest.approx(metrics[name], rel=1e-5)
    assert recorded.summary["tables/classes.nrows"] == 3
    assert recorded.summary["report.size"] == (folder / "report.html").stat().st_size
    (artifact,) = recorded.artifacts
    assert artifact["name"] == f"model-{run['run_id']}"
    assert {file["path"] for file in artifact["manifest"]["contents"]} == {"best.ckpt", "last.ckpt"}
    assert recorded.exit_code == 0


def test_an_interrupted_run_fails_and_a_resumed_run_continues_it(
    run_in_process: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, call=3)
    result = run_in_process("train.py", *SMALL, "data.batch_size=64")
    monkeypatch.undo()
    assert result.status == 143
    found = re.search(r"python train\.py (resume=.*)", result.err)
    assert found
    resumed = run_in_process("train.py", *shlex.split(found[1]), logs=False)
    assert resumed.status == 0, resumed.err
    first, second = recorded_runs(resumed.folder)
    assert first.run["run_id"] == second.run["run_id"]
    assert (first.exit_code, second.exit_code) == (1, 0)
    check_history(first, resumed.folder, {0})
    check_history(second, resumed.folder, {1})
    assert not first.artifacts


def test_each_job_of_a_sweep_is_a_run_of_one_group(run_in_process: Run, tmp_path: Path) -> None:
    """The job that diverges fails."""
    result = run_in_process(
        "train.py", "-m", *SMALL, "optimizer=sgd", "optimizer.lr=1e6,0.01", "model.normalization=none"
    )
    assert result.status == 1
    (sweep,) = (tmp_path / "logs/train/sweeps").iterdir()
    (failed,), (complete,) = (recorded_runs(sweep / job) for job in "01")
    assert failed.run["run_id"] != complete.run["run_id"]
    assert failed.run["run_group"] == complete.run["run_group"] == sweep.name
    assert (failed.exit_code, complete.exit_code) == (1, 0)


def test_online_without_a_login_is_an_error_that_leaves_nothing(run_in_process: Run, tmp_path: Path) -> None:
    result = run_in_process("train.py", *SMALL, "logger.wandb.mode=online")
    assert result.status == 2
    assert result.err.startswith("error: Weights & Biases is online but you are not logged in: run wandb login, ")
    assert len(result.err.splitlines()) == 1
    assert not [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]


def test_a_run_that_is_rejected_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def reject(**settings: Any) -> None:
        raise client.errors.CommError("no such\nproject")

    monkeypatch.setattr(client, "init", reject)
    with pytest.raises(InputError, match=r"Weights & Biases: no such project; logger\.wandb\.mode=offline needs no"):
        trackers.WandB(str(tmp_path), mode="offline")


@pytest.mark.parametrize(("variable", "online"), [("offline", False), ("disabled", False), ("online", True)])
def test_auto_follows_the_environment(variable: str, online: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr(client, "login", lambda prompt: True)
    assert trackers.is_online(client, "auto") is online
    assert trackers.is_online(client, "online")
    assert not trackers.is_online(client, "offline")


def test_the_commands_of_the_wandb_sweep_are_valid() -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = yaml.safe_load((ROOT / "sweep.yaml").read_text())
    assert sweep["metric"] == {"name": "val/loss", "goal": "minimize"}
    parameters = sweep["parameters"]
    for end in (0, -1):
        chosen = {
            name: each.get("values", [each.get("min"), each.get("max")])[end] for name, each in parameters.items()
        }
        macros = create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
        words = create_sweep_command(list(sweep["command"]))
        command = [part for word in words for part in macros.get(str(word)[2:-1], [word])]
        assert isinstance(chosen["optimizer.lr"], float)
        assert command[-len(chosen) :] == [f"{name}={value}" for name, value in chosen.items()]
        script = command.index("train.py")
        assert command[script - 1] == "python"
        check_command("train", command[script + 1 :])
