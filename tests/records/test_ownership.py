"""One run owns its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from primer.records.ownership import LOCK, FolderTakenError, owned

HOLD = """
import sys, time
from pathlib import Path
from primer.records.ownership import owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_owned_by_one_process_until_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        for resume in (None, str(folder)):
            with pytest.raises(FolderTakenError, match="is still running"), owned(folder, resume):
                pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (folder / LOCK).exists()
        with owned(folder):
            assert (folder / LOCK).exists()
        assert list(folder.iterdir()) == []
    finally:
        process.kill()


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "checkpoints"])
def test_a_folder_with_results_is_owned_only_to_continue_it(tmp_path: Path, name: str) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    for path in (folder / name, other):
        path.mkdir(parents=True)
    for resume in (None, str(other), str(other / "checkpoints/last.ckpt")):
        with pytest.raises(FolderTakenError, match=f"has {name} of another run"), owned(folder, resume):
            pass
    for resume in (str(folder), str(folder / "checkpoints/last.ckpt"), os.path.relpath(folder)):
        with owned(folder, resume):
            pass
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_folder_that_stays_empty_is_deleted(tmp_path: Path) -> None:
    with pytest.raises(KeyError), owned(tmp_path / "a" / "run"):
        raise KeyError
    assert not (tmp_path / "a" / "run").exists()


def test_commands_reject_the_folder_of_another_run(run_in_process, tmp_path: Path) -> None:
    place = f"hydra.run.dir={tmp_path}/run"
    tiny = ("data=iris", "trainer.max_epochs=1", "~callbacks.pictures")
    assert run_in_process("train.py", *tiny, place).status == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != "train.log"}
    for command in (
        ("train.py", *tiny),
        ("train.py", f"weights={tmp_path}/run"),
        ("evaluate.py", f"run={tmp_path}/run"),
    ):
        result = run_in_process(*command, place)
        assert result.status == 2
        assert result.err == (
            f"error: {tmp_path}/run has config.yaml of another run: set hydra.run.dir to a new folder, or continue a "
            f"training run with resume={tmp_path}/run\n"
        )
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.suffix != ".log"}
    assert after == before
