"""Fixtures that run commands."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from primer.config.paths import ROOT


@dataclass
class CommandResult:
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        """The folder of the run or the sweep, from the last line of the output."""
        last = self.out.strip().splitlines()[-1]
        assert last.startswith(("run: ", "sweep: ")), self.out + self.err
        return ROOT / last.partition(": ")[2]


@pytest.fixture
def run_in_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., CommandResult]:
    """Returns a function that runs a script of the repository in this process, with logs in a temporary folder."""

    def run(script: str, *arguments: str, logs: bool = True) -> CommandResult:
        monkeypatch.chdir(ROOT)
        log_dir = (f"paths.log_dir={tmp_path}/logs",) if logs else ()
        monkeypatch.setattr(sys, "argv", [script, *arguments, *log_dir])
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        printed = capfd.readouterr()
        return CommandResult(status, printed.out, printed.err)

    return run


@pytest.fixture
def run_in_subprocess(tmp_path: Path) -> Callable[..., CommandResult]:
    """Returns a function that runs Python in a subprocess, by default from the root of the repository."""

    def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> CommandResult:
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
        return CommandResult(result.returncode, result.stdout, result.stderr)

    return run
