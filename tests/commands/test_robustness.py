"""Random overrides and damaged files end in a run or in one line, never in a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from primer.config.paths import ROOT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the memory of a trial is limited on Linux"
)


def run_trials(seed: int, overrides: int, files: int) -> None:
    numbers = ("--seed", str(seed), "--overrides", str(overrides), "--files", str(files))
    command = [sys.executable, "-m", "benchmarks.robustness", *numbers]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"seed {seed}, {overrides + files} trials" in result.stdout
    assert "0 failed" in result.stdout


def test_100_trials() -> None:
    run_trials(seed=0, overrides=75, files=25)


@pytest.mark.slow
def test_2500_trials() -> None:
    run_trials(seed=1, overrides=2000, files=500)


def test_a_traceback_fails_a_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.robustness import Trial, run_trial

    monkeypatch.setattr("primer.run.building.build_data", lambda *_: 1 / 0)
    trial = Trial("overrides:0", "train.py", ["data=iris"])
    run_trial(trial, tmp_path)
    assert "ZeroDivisionError" in trial.problem
    trial = Trial("overrides:1", "train.py", ["data=irs"])
    run_trial(trial, tmp_path)
    assert trial.status == 2
    assert "Traceback" not in trial.problem
