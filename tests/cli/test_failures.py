"""A lack of memory or a disk that cannot be written ends a run with one line, and leaves nothing half-written."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import CommandResult

from primer.cli.failures import explain, readable
from primer.errors import InputError

SMALL = ("model.hidden_sizes=[16]", "data.train_size=100", "callbacks=[_checkpoint,_last]", "test=false")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limits the size of files, as ``ulimit -f`` does and a full disk in effect."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def the_error(result: CommandResult) -> str:
    (line,) = result.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (2**40, "not enough memory for the layer Linear(in_features=64, out_features=1099511627776): it takes 256 TiB"),
        (2**62, "not enough memory for the layer Linear(in_features=64, out_features=4611686018427387904)"),
    ],
)
def test_a_layer_that_does_not_fit_in_memory(
    size: int, expected: str, run_in_process: Callable[..., CommandResult], tmp_path: Path
) -> None:
    result = run_in_process("train.py", f"model.hidden_sizes=[{size}]")
    assert result.status == 2
    assert expected in the_error(result)
    assert not list((tmp_path / "logs").rglob("*.*"))


def test_data_that_do_not_fit_in_memory(run_in_process: Callable[..., CommandResult]) -> None:
    result = run_in_process("train.py", "data=noisy_surface", "data.samples=1000000000000000")
    assert result.status == 1
    assert "not enough memory in NoisySurface." in the_error(result)


def test_a_run_folder_that_cannot_be_created(run_in_process: Callable[..., CommandResult], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        result = run_in_process("train.py", f"hydra.run.dir={path}")
        assert result.status == 2
        assert "it must be a directory" in the_error(result)
        assert str(file) in result.err
    result = run_in_process("train.py", "paths.log_dir=/proc/nowhere", logs=False)
    assert result.status == 2
    assert "/proc/nowhere: No such file or directory" in the_error(result)


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(
    run_in_process: Callable[..., CommandResult], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = run_in_process("train.py", *SMALL, "trainer.max_epochs=1", f"hydra.run.dir={folder}")
    assert first.status == 0, first.err
    before = {file.name: file.read_bytes() for file in (folder / "checkpoints").iterdir()}
    size = min(len(content) for content in before.values())
    with file_size_limit(size // 2):
        result = run_in_process(
            "train.py", *SMALL, "trainer.max_epochs=2", f"resume={folder}", f"hydra.run.dir={folder}"
        )
    assert result.status == 1
    assert str(folder / "checkpoints") in the_error(result)
    assert "File too large" in result.err
    assert {file.name: file.read_bytes() for file in (folder / "checkpoints").iterdir()} == before
    assert not list(folder.rglob(".*"))


def test_a_disk_that_is_full_from_the_start(run_in_process: Callable[..., CommandResult], tmp_path: Path) -> None:
    with file_size_limit(1000):
        result = run_in_process("train.py", *SMALL, "trainer.max_epochs=1")
    assert result.status == 1
    assert "config.yaml: File too large" in the_error(result)
    assert not list((tmp_path / "logs").rglob(".*"))


def test_a_run_that_has_trained_fails_and_is_not_rejected(
    run_in_process: Callable[..., CommandResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise InputError("no test")

    monkeypatch.setattr("primer.callbacks.Baseline.on_test_start", refuse)
    folder = tmp_path / "run"
    result = run_in_process("train.py", "data=iris", "trainer.max_epochs=1", f"hydra.run.dir={folder}")
    assert result.status == 1
    assert the_error(result) == "error: no test"
    assert (folder / "config.yaml").exists()
    assert (folder / "checkpoints" / "best.ckpt").exists()


def test_a_fault_of_the_program_is_not_explained() -> None:
    assert explain(RuntimeError("shapes do not match")) is None
    assert explain(InputError("wrong")) is None
    assert explain(OSError("no number")) is None


def test_amounts_of_memory_are_readable() -> None:
    assert readable(512, "bytes") == "512 bytes"
    assert readable(3 * 2**30, "bytes") == "3 GiB"
    assert readable(2048, "GiB") == "2 TiB"


def test_a_run_in_the_home_folder(
    run_in_process: Callable[..., CommandResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PRIMER_DATA_DIR", "~/data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").write_text("x,y\n" + "".join(f"{k % 7},{k % 2}\n" for k in range(60)))
    settings = ("data=csv", "data.target=y", "data.path=t.csv", "callbacks=[_checkpoint,_last]", "test=false")
    result = run_in_process("train.py", *settings, "trainer.max_epochs=1", "hydra.run.dir=~/run")
    assert result.status == 0, result.err
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").exists()
    assert run_in_process("evaluate.py", "run=~/run").status == 0
    assert run_in_process("evaluate.py", "ckpt=~/run/checkpoints/best.ckpt").status == 0
    assert run_in_process("train.py", *settings, "trainer.max_epochs=1", "weights=~/run").status == 0
    assert run_in_process("train.py", "data=csv", "data.target=y", "data.path=~/nothing.csv").err.count(
        f"{tmp_path}/nothing.csv"
    )
