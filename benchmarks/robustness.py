"""Feeds random overrides and damaged files to the commands: each must run or print one line, never a traceback.

    python -m benchmarks.robustness                          # 2,000 overrides and 500 files, about an hour
    python -m benchmarks.robustness --seed 7 --overrides 100 --files 20
    python -m benchmarks.robustness --seed 7 --only files:13 # repeats one trial, with its output

Trials run in this process, on small data and for two steps, with limited memory. A trial fails if it ends with an
exception, prints more than one line of errors, exceeds the time limit, or leaves files behind although it was rejected.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzzing import damaged_file, random_overrides, write_runs
from primer import run as _run  # noqa: F401  # Importing torch must not count in the first trial.
from primer.config.paths import ROOT

MEMORY = 4 << 30
"""Bytes that a trial may allocate beyond those in use when it starts."""
SECONDS = 60
"""The time that a trial may compute; it may take ten times that on a busy machine."""
SMALL = (
    "accelerator=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1", "~callbacks.pictures", "~callbacks.attention", "callbacks.samples.length=8",
)  # fmt: skip
"""Overrides that keep a training run short."""


@dataclass
class Trial:
    """A command line, and how it ended."""

    name: str
    script: str
    overrides: list[str]
    status: int = 0
    out: str = ""
    problem: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="default: drawn and printed")
    parser.add_argument("--overrides", type=int, default=2000)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--only", help="one trial, such as overrides:17 or files:13")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    print(f"robustness: seed {seed}", flush=True)
    failed, statuses = 0, {0: 0, 1: 0, 2: 0}
    for trial in run_trials(seed, arguments.overrides, arguments.files, arguments.only):
        statuses[trial.status] = statuses.get(trial.status, 0) + 1
        if arguments.only:
            print(trial.out)
        if trial.problem:
            failed += 1
            print(f"{trial.name}: {trial.script} {' '.join(trial.overrides)}\n{trial.problem}\n", flush=True)
    counts = ", ".join(f"{count} with status {status}" for status, count in sorted(statuses.items()))
    print(f"robustness: seed {seed}, {sum(statuses.values())} trials ({counts}), {failed} failed")
    raise SystemExit(bool(failed))


def run_trials(seed: int, overrides: int, files: int, only: str | None = None) -> Iterator[Trial]:
    """Yields the finished trials. Each depends on the seed and its own number alone."""
    names = [f"overrides:{number}" for number in range(overrides)] + [f"files:{number}" for number in range(files)]
    names = names if only is None else [only]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        runs = write_runs(folder / "runs", run_command) if any(name.startswith("files") for name in names) else {}
        for name in names:
            generator = random.Random(f"{seed} {name}")
            trial_folder = folder / "trial"
            trial_folder.mkdir()
            if name.startswith("overrides"):
                script, given = random_overrides(generator, trial_folder)
            else:
                script, given = damaged_file(generator, trial_folder, runs)
            keys = {text.split("=")[0].lstrip("+~") for text in given}
            small = [text for text in SMALL if text.split("=")[0].lstrip("~") not in keys]
            small = small if script == "train.py" else ["accelerator=cpu"]
            options = [text for text in given if text.startswith("--")]
            trial = Trial(name, script, [*options, *small, *(text for text in given if text not in options)])
            run_trial(trial, trial_folder)
            shutil.rmtree(trial_folder)
            yield trial


def run_trial(trial: Trial, folder: Path) -> None:
    """Runs a trial and judges it."""
    logs = folder / "logs"
    try:
        with limited(MEMORY, SECONDS):
            trial.status, trial.out, errors = run_command(
                trial.script, *trial.overrides, f"paths.log_dir={logs}", cwd=folder
            )
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        trial.status, trial.problem = 1, traceback.format_exc()
        return
    trial.out += errors
    lines = errors.strip().splitlines()
    if trial.status not in (0, 1, 2):
        trial.problem = f"status {trial.status}: {errors}"
    elif trial.status and (len(lines) != 1 or not lines[0].startswith("error: ")):
        trial.problem = f"status {trial.status}, but {len(lines)} lines: {errors}"
    elif "Traceback" in trial.out:
        trial.problem = trial.out
    elif trial.status == 2 and (left := [str(file) for file in logs.rglob("*") if file.is_file()]):
        trial.problem = f"{errors}rejected, but left {', '.join(left)}"


def run_command(script: str, *arguments: str, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Runs a script of the repository in this process, in the folder ``cwd``. Returns its status, output and errors."""
    out, errors, status = io.StringIO(), io.StringIO(), 0
    argv, previous, environment, root = sys.argv, Path.cwd(), dict(os.environ), logging.getLogger()
    handlers = list(root.handlers)
    sys.argv = [script, *arguments]
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv = argv
        os.chdir(previous)
        os.environ.clear()
        os.environ.update(environment)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)
            handler.close()
    return status, out.getvalue(), errors.getvalue()


@contextlib.contextmanager
def limited(memory: int, seconds: int) -> Iterator[None]:
    """Limits the memory and the time of a block. Exceeding the time raises ``TimeoutError``."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds} seconds of computation, or {10 * seconds} seconds in all")

    before = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(10 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    main()
