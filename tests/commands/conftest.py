"""Commands as a user types them."""

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
class Done:
    """What a command left: its status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        """The run folder that the last line names."""
        last = self.out.strip().splitlines()[-1]
        assert last.startswith("run: "), self.out + self.err
        return ROOT / last.removeprefix("run: ")


@pytest.fixture
def run_in_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Runs a script of the repository in this process, with its logs in a temporary folder."""

    def command(script: str, *arguments: str, logs: bool = True) -> Done:
        monkeypatch.chdir(ROOT)
        more = (f"paths.log_dir={tmp_path}/logs",) if logs else ()
        monkeypatch.setattr(sys, "argv", [script, *arguments, *more])
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        printed = capfd.readouterr()
        return Done(status, printed.out, printed.err)

    return command


@pytest.fixture
def run_in_subprocess(tmp_path: Path) -> Callable[..., Done]:
    """Runs Python in a process of its own, from the root of the repository."""

    def command(*arguments: str, cwd: Path = ROOT, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return command
