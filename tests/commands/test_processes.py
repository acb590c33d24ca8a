"""Tests that need several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from primer.config.paths import ROOT


def test_two_processes_give_the_same_metrics_as_one(run_in_subprocess, run_in_process, tmp_path) -> None:
    common = ("trainer.max_epochs=3", "data.batch_size=50", f"paths.log_dir={tmp_path}/logs")
    two = run_in_subprocess("train.py", "accelerator=ddp_cpu", "accelerator.devices=2", *common)
    assert two.status == 0, two.err
    one = run_in_process("train.py", "accelerator=cpu", *common, logs=False)
    a, b = (json.loads((result.folder / "metrics.json").read_text()) for result in (one, two))
    for name in ("test/accuracy", "test/loss", "test/f1", "val/loss", "train/loss", "steps"):
        assert a[name] == pytest.approx(b[name], abs=1e-5), name
    weights = [
        torch.load(result.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for result in (one, two)
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-5, rtol=0)
    report = (two.folder / "report.txt").read_text()  # Class counts: each test sample is counted once.
    assert sum(int(line.split()[-1]) for line in report.splitlines()[1:]) == 359
    assert two.out.count("run: ") == 1


def test_torchrun_starts_the_processes_of_a_run(tmp_path) -> None:
    settings = ("accelerator=ddp_cpu", "trainer.max_epochs=1", "callbacks=none", f"paths.log_dir={tmp_path}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    result = subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert "device     cpu, 2 processes" in result.stdout
    assert result.stdout.count("run: ") == 1
    (folder,) = (tmp_path / "train" / "runs").iterdir()
    assert "test/accuracy" in json.loads((folder / "metrics.json").read_text())


def test_a_killed_process_ends_the_run_and_leaves_its_checkpoint(tmp_path) -> None:
    folder = tmp_path / "run"
    overrides = ("accelerator=ddp_cpu", "trainer.max_epochs=1000", "data.batch_size=512", f"hydra.run.dir={folder}")
    command = [sys.executable, "train.py", *overrides, "callbacks=[_checkpoint,_last]"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        metrics = folder / "metrics.csv"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:  # The header and two epochs.
            assert process.poll() is None, process.stderr
            time.sleep(0.1)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == (
        "error: another process of this run was killed or failed; to continue from the last checkpoint: "
        f"python train.py resume={folder}\n"
    )
    assert Path(folder / "checkpoints" / "last.ckpt").exists()
    assert not list(folder.rglob(".*"))


RISING_RATE = ("monitor=lr", "scheduler=exponential", "scheduler.gamma=1.5")
"""The learning rate is monitored and rises, so that the best epoch is the first."""


@pytest.mark.slow
def test_two_processes_resume_and_match_one_process_on_sentences(run_in_subprocess, run_in_process, tmp_path) -> None:
    """Covers buckets, an uneven last batch, and resuming after the best epoch."""
    common = ("model=lstm", "data=pos_tags", "data.sentences=301", *RISING_RATE, f"paths.log_dir={tmp_path}/logs")
    two = ("accelerator=ddp_cpu", "accelerator.devices=2")
    uninterrupted = run_in_subprocess("train.py", *common, *two, "trainer.max_epochs=3")
    interrupted = run_in_subprocess("train.py", *common, *two, "trainer.max_epochs=2")
    resumed = run_in_subprocess("train.py", *common, *two, "trainer.max_epochs=3", f"resume={interrupted.folder}")
    assert resumed.status == 0, resumed.err
    one = run_in_process("train.py", "accelerator=cpu", *common, "trainer.max_epochs=3", logs=False)
    for other in (one, resumed):
        a, b = (json.loads((result.folder / "metrics.json").read_text()) for result in (uninterrupted, other))
        assert {name: a[name] for name in b if "seconds" not in name} == pytest.approx(
            {name: value for name, value in b.items() if "seconds" not in name}, abs=1e-4
        )


@pytest.mark.slow
def test_a_lost_process_ends_its_job_and_not_the_sweep(tmp_path) -> None:
    settings = ("accelerator=ddp_cpu", "trainer.max_epochs=30", "data.batch_size=512", f"hydra.sweep.dir={tmp_path}")
    command = [sys.executable, "train.py", "-m", "seed=0,1", *settings, "callbacks=none"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        metrics = tmp_path / "0" / "metrics.csv"
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 3:
            assert process.poll() is None, process.stderr
            time.sleep(0.1)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    reason = "another process of this run was killed or failed"
    assert errors == f"error: {reason}\n1 of the jobs failed:\n  job 0 (seed=0): {reason}\n"
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["test/accuracy"] > 0.9
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["0", "1", "jobs"]
