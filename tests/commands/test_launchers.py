"""Launchers that run several jobs of a sweep at a time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import CommandResult
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.cli.launchers import base, gpus
from primer.cli.launchers.submitit import SubmititSlurm
from primer.config.paths import ROOT

Run = Callable[..., CommandResult]

GRID = ("model=linear,mlp", "seed=0,1", "data=iris", "trainer.max_epochs=2", "callbacks=none", "accelerator=cpu")


def results(logs: Path) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each job of a sweep, apart from times."""
    metrics = {file.parent.name: json.loads(file.read_text()) for file in logs.glob("train/sweeps/*/*/metrics.json")}
    return {job: {name: one[name] for name in one if "seconds" not in name} for job, one in metrics.items()}


@pytest.fixture
def basic(run_in_process: Run, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The metrics of the grid, run one job after the other in this process."""
    assert run_in_process("train.py", "-m", *GRID, f"paths.log_dir={tmp_path}/basic", logs=False).status == 0
    return results(tmp_path / "basic")


@pytest.mark.parametrize(
    "launcher", ["joblib", *(pytest.param(name, marks=pytest.mark.slow) for name in ("submitit_local", "ray"))]
)
def test_a_launcher_gives_the_same_metrics(
    launcher: str, basic: dict[str, dict[str, Any]], run_in_subprocess: Run, tmp_path: Path
) -> None:
    """A fifth job is rejected before it is run."""
    pytest.importorskip({"submitit_local": "submitit"}.get(launcher, launcher))
    result = run_in_subprocess(
        "train.py",
        "-m",
        *GRID[:1],
        "seed=0,1,x",
        *GRID[2:],
        f"hydra/launcher={launcher}",
        f"paths.log_dir={tmp_path}/two",
    )
    assert result.status == 2
    assert results(tmp_path / "two") == {new: basic[old] for old, new in zip("0123", "0134", strict=True)}
    assert re.fullmatch(
        r"(error: seed must be an integer or null, not 'x'\n){2}2 of the jobs failed:\n"
        r"  job 2 \(model=linear seed=x\): seed must .*\n  job 5 \(model=mlp seed=x\): seed must .*\n",
        result.err,
    ), result.err
    (output,) = (tmp_path / "two").rglob("output")
    if launcher != "submitit_local":
        assert "job 3: model=mlp seed=0" in (output / "3.txt").read_text()


def test_jobs_that_fail_are_killed_or_preempted(run_in_process: Run, tmp_path: Path) -> None:
    """One job diverges and one is killed. One receives SIGUSR2, which SLURM sends before it ends a job, and continues
    from its checkpoint."""
    pytest.importorskip("submitit")
    settings = (
        "optimizer=sgd", "model.normalization=none", "data=iris", "trainer.max_epochs=60", "data.batch_size=8",
        "callbacks=[_checkpoint,_last,_stop_on_nan]", "accelerator=cpu",
    )  # fmt: skip
    command = [
        sys.executable, "train.py", "-m", "optimizer.lr=1e6,0.01,0.02", *settings, "hydra/launcher=submitit_local",
        "hydra.launcher.n_jobs=2", "hydra.launcher.max_num_timeout=1", f"paths.log_dir={tmp_path}/sweep",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        send_to_job(process, tmp_path, job="1", number=signal.SIGUSR2)
        send_to_job(process, tmp_path, job="2", number=signal.SIGKILL)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    diverged, killed = [line for line in errors.splitlines() if line.startswith("  job")]
    assert diverged.startswith("  job 0 (optimizer.lr=1000000.0): diverged in step")
    assert re.match(r"  job 2 \(optimizer.lr=0.02\): .*; see .*_log\.err", killed)

    logs = "".join(file.read_text() for file in tmp_path.rglob("*_log.*"))
    assert re.search(r"preempted: saved step \d+ \(epoch \d+\); to continue: python train.py", logs)
    assert "Requeued job" in logs
    assert results(tmp_path / "sweep").keys() == {"1"}
    whole = run_in_process("train.py", "optimizer.lr=0.01", *settings, f"paths.log_dir={tmp_path}/whole", logs=False)
    (folder,) = (tmp_path / "sweep/train/sweeps").glob("*/1")
    assert (folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()


def send_to_job(process: subprocess.Popen[str], logs: Path, job: str, number: signal.Signals) -> None:
    """Sends a signal to the process of a job once it has trained for an epoch."""
    while not list(logs.glob(f"**/sweeps/*/{job}/metrics.csv")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    (folder,) = logs.glob(f"**/sweeps/*/{job}")
    (lock,) = folder.glob(".lock")
    owner = next(
        int(line.split()[4]) for line in Path("/proc/locks").read_text().splitlines()
        if line.split()[5].endswith(f":{lock.stat().st_ino}")
    )  # fmt: skip
    os.kill(owner, number)


def test_the_sbatch_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    for name in ("srun", "sbatch"):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text("#!/bin/sh\necho Submitted batch job 123\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    settings = OmegaConf.to_container(
        compose_checked("train", ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu"]).hydra.launcher
    )
    assert isinstance(settings, dict)
    settings.pop("_target_")
    launcher = SubmititSlurm(**settings)  # type: ignore[arg-type]
    launcher.check()
    scripts: list[str] = []
    from submitit.core.core import PicklingExecutor

    submit = PicklingExecutor._submit_command

    def record(executor: Any, command: str) -> Any:
        scripts.append(executor._make_submission_file_text(command, "ID"))
        return submit(executor, command)

    monkeypatch.setattr(PicklingExecutor, "_submit_command", record)
    running = next(launcher.submit([print, print], tmp_path / "output"))  # type: ignore[list-item]
    assert [job.job_id for job in running.values()] == ["123_0", "123_1"]
    written = scripts[0].replace(str(tmp_path), "SWEEP").replace(sys.executable, "PYTHON")
    expected = (Path(__file__).parent / "sbatch_script.txt").read_text()
    assert written == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hydra/launcher=joblib", "hydra.launcher.n_jobs=0"), "n_jobs must be a positive integer or auto, not 0"),
        (("hydra/launcher=submitit_slurm",), "must be used where SLURM is: sbatch or srun is not found"),
    ],
)
def test_a_launcher_that_cannot_be_used_is_an_error(overrides, message, run_in_process: Run) -> None:
    result = run_in_process("train.py", "-m", "seed=0,1", *overrides)
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert message in result.err


def test_jobs_on_several_devices_are_rejected(run_in_process: Run, tmp_path: Path) -> None:
    """They would be started with the command of the sweep."""
    result = run_in_process("train.py", "-m", "seed=0,1", "hydra/launcher=joblib", "accelerator=ddp_cpu")
    assert result.status == 2
    reason = "accelerator.devices=2: hydra/launcher=joblib runs each job on one device; basic does not"
    assert result.err.count(reason) == 4  # At once, and at the end.


def test_a_launcher_without_its_package_is_an_error(run_in_process: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    result = run_in_process("train.py", "-m", "seed=0,1", "hydra/launcher=ray")
    assert result.status == 2
    assert result.err == "error: hydra/launcher requires the package ray: pip install 'primer[ray]'\n"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "hydra/launcher=jobilb",
            "there is no such launcher; did you mean joblib? valid: basic, joblib, ray, submitit_",
        ),
        ("hydra/sweeper=optunaa", "there is no such sweeper; did you mean optuna? valid: basic, optuna"),
    ],
)
def test_a_misspelled_plugin_is_an_error(override: str, message: str, run_in_process: Run) -> None:
    result = run_in_process("train.py", "-m", "seed=0,1", override)
    assert result.status == 2
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith(f"error: {override}: {message}")


def test_jobs_use_different_gpus_until_none_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one = OmegaConf.create({"accelerator": {"accelerator": "auto", "devices": 1}})
    used: list[str] = []
    held: list[list[int]] = []
    for number in range(3):
        monkeypatch.setattr(gpus, "_locks", [])  # As in another process.
        gpus.use_one_gpu(one, "4,7", number)
        held.append(gpus._locks)
        used.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert used == ["4", "7", "4"]
    for descriptor in held[1]:
        os.close(descriptor)
    monkeypatch.setattr(gpus, "_locks", [])
    gpus.use_one_gpu(one, "4,7", 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    for settings in ({"accelerator": "cpu", "devices": 1}, {"accelerator": "auto", "devices": 2}):
        monkeypatch.setattr(gpus, "_locks", [])
        gpus.use_one_gpu(OmegaConf.create({"accelerator": settings}), "4,7", 0)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"
