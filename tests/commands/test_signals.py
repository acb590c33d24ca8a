"""Commands that a signal ends, and runs that diverge."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import CommandResult

from primer.callbacks import Pictures, StopOnNaN
from primer.data.tables.tables import Table
from primer.errors import Interrupted
from primer.records.signals import SignalHandler

Run = Callable[..., CommandResult]

IRIS = ("data=iris", "trainer.max_epochs=2", "data.batch_size=16", "regularization.dropout=0.3", "logger=csv")

STATUSES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """Restores the default handlers: under ``nohup`` the tests themselves ignore SIGHUP."""
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Returns a function that makes a method send a signal to this process when it is called for the n-th time."""

    def patch(owner: type, method: str, number: signal.Signals, call: int = 1) -> None:
        original, calls = getattr(owner, method), iter(range(1, 10**6))

        def send_and_call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), number)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, send_and_call)

    return patch


@pytest.mark.parametrize(("number", "step"), zip(STATUSES, (1, 6, 9), strict=True))
def test_a_signal_in_training_saves_and_says_how_to_continue(
    number: signal.Signals, step: int, run_in_process: Run, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_in_process("train.py", *IRIS).folder
    send(StopOnNaN, "on_before_backward", number, step)
    result = run_in_process("train.py", *IRIS)
    monkeypatch.undo()
    assert result.status == STATUSES[number]
    assert len(result.err.splitlines()) == 1, result.err
    word = {"SIGTERM": "terminated", "SIGINT": "interrupted", "SIGHUP": "hung up"}[number.name]
    found = re.fullmatch(rf"{word}: saved step {step} \(epoch \d\); to continue: python train\.py (.*)\n", result.err)
    assert found, result.err

    resumed = run_in_process("train.py", *shlex.split(found[1]), logs=False)
    assert resumed.status == 0, resumed.err
    assert resumed.folder.resolve() == Path(found[1].removeprefix("resume=")).resolve()
    assert (resumed.folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    old, new = (torch.load(folder / "checkpoints/last.ckpt", weights_only=True) for folder in (whole, resumed.folder))
    assert all(torch.equal(value, new["state_dict"][key]) for key, value in old["state_dict"].items())


@pytest.mark.parametrize("number", STATUSES)
def test_a_signal_before_training_leaves_nothing(
    number: signal.Signals, run_in_process: Run, send: Callable[..., None], tmp_path: Path
) -> None:
    send(Table, "read", number)
    result = run_in_process("train.py", *IRIS)
    assert result.status == STATUSES[number]
    assert re.fullmatch(r"(terminated|interrupted|hung up): nothing was saved\n", result.err)
    assert not [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_in_the_test_says_that_training_is_complete(run_in_process: Run, send: Callable[..., None]) -> None:
    send(Pictures, "on_test_start", signal.SIGTERM)
    result = run_in_process("train.py", *IRIS)
    assert result.status == 143
    found = re.fullmatch(r"terminated: training is complete, .*: python evaluate\.py (run=.*)\n", result.err)
    assert found, result.err
    assert run_in_process("evaluate.py", *shlex.split(found[1])).status == 0


def test_a_signal_ends_a_sweep(run_in_process: Run, send: Callable[..., None], tmp_path: Path) -> None:
    send(StopOnNaN, "on_before_backward", signal.SIGINT, 3)
    result = run_in_process("train.py", "-m", *IRIS, "seed=0,1,2")
    assert result.status == 130
    assert "interrupted: saved step 3 (epoch 1); to continue: python train.py" in result.err
    assert len(list((tmp_path / "logs").rglob("last.ckpt"))) == 1


@pytest.mark.parametrize("number", STATUSES)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    process = os.fork()
    if not process:
        handler = SignalHandler()
        with handler.installed():
            handler.deferring = True
            os.kill(os.getpid(), number)
            while True:
                os.kill(os.getpid(), signal.SIGTERM)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 143


def test_an_ignored_signal_stays_ignored() -> None:
    """As under ``nohup``."""
    previous, handler = signal.signal(signal.SIGHUP, signal.SIG_IGN), SignalHandler()
    try:
        with handler.installed():
            os.kill(os.getpid(), signal.SIGHUP)
        assert handler.received is None
    finally:
        signal.signal(signal.SIGHUP, previous)
    with pytest.raises(Interrupted), handler.installed():
        os.kill(os.getpid(), signal.SIGHUP)


def test_a_diverged_run_fails_and_keeps_its_last_good_checkpoint(run_in_process: Run, tmp_path: Path) -> None:
    result = run_in_process("train.py", "data=iris", "optimizer=sgd", "optimizer.lr=1e6", "model.normalization=none")
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert re.match(r"error: diverged in step \d+ \(epoch \d, batch \d\): the loss is (nan|inf), and the first ", line)
    kept = Path(line.rpartition(" ")[2])
    assert kept.name == "last.ckpt"
    for file in (tmp_path / "logs").rglob("*.ckpt"):
        assert all(value.isfinite().all() for value in torch.load(file, weights_only=True)["state_dict"].values())


def test_resumed_runs_equal_uninterrupted_ones(run_in_subprocess: Run) -> None:
    result = run_in_subprocess("-m", "benchmarks.interruptions", "2", "seed=0")
    assert result.status == 0, result.out + result.err


@pytest.mark.slow
def test_resumed_runs_equal_uninterrupted_ones_at_many_moments(
    run_in_subprocess: Run, record_figure: Callable[[str], None]
) -> None:
    result = run_in_subprocess("-m", "benchmarks.interruptions", "18", "seed=1")
    assert result.status == 0, result.out + result.err
    record_figure(result.out.splitlines()[-1])
