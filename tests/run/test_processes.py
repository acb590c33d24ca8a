"""A run on several devices ends when one of its processes is lost."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from primer.run.processes import ProcessObserver

WAITING = """
import subprocess, sys, time
from pathlib import Path
from primer.run.processes import ProcessObserver
children = [subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]) for seconds in (100, 100)]
observer = ProcessObserver(children, Path(sys.argv[1]), grace=0.1)
observer._sleep_period = 0.1
observer.start()
children[0].kill()
time.sleep(100)
"""


def test_lightning_still_uses_the_names_that_are_replaced() -> None:
    assert "_launch_process_observer(self.procs)" in inspect.getsource(_SubprocessScriptLauncher.launch)
    assert "self._terminate_all()" in inspect.getsource(_ChildProcessObserver._run)
    assert "while not self._finished" in inspect.getsource(_ChildProcessObserver.run)


def test_a_main_process_that_waits_for_a_lost_one_is_ended(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    result = subprocess.run([sys.executable, "-c", WAITING, str(tmp_path)], capture_output=True, text=True, timeout=90)
    assert result.returncode == 1
    line = "error: another process of this run was killed or failed; to continue from the last checkpoint: "
    assert result.stderr.endswith(f"{line}python train.py resume={tmp_path}\n")


def test_a_main_process_that_has_left_goes_on(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]) as child:
        child.wait()
        observer = ProcessObserver([child], tmp_path, grace=60)
        observer._sleep_period = 0
        observer.start()
        observer.leave()
        observer.join(60)
