"""Ends runs at random moments, with SIGKILL, SIGTERM and SIGINT, and checks that each resumed run equals an
uninterrupted one bit for bit: weights, optimizer, schedule, random state, best checkpoint, ``metrics.csv`` and metrics.

``python -m benchmarks.interruptions 30 seed=1`` tries 30 moments. Every third of them is in the first epoch. The exit
status is 1 if any resumed run differs. Each run is a fork of this process, so it does not have to import PyTorch again.
"""

from __future__ import annotations

import json
import os
import random
import re
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import sklearn.datasets
import torch

import primer.callbacks
import primer.checkpoints.last_checkpoint
import primer.cli.main
import primer.cli.sweeps
import primer.data.images.digits
import primer.data.text.dates
import primer.data.text.pos_tags
import primer.models.encoder_decoder.seq2seq
import primer.models.feedforward.mlp
import primer.models.recurrent.lstm
import primer.run
from primer.checkpoints.resume_checks import completed_epochs
from primer.config.paths import ROOT

PRELOADED = (hydra, sklearn.datasets, primer.callbacks, primer.run)
"""What is imported above is shared by all runs."""

DROPOUT = ("regularization.dropout=0.3",)

MODELS = {
    "MLP, digits": ("model=mlp", "data=digits", "regularization/augmentation=shift", *DROPOUT),
    "LSTM, pos_tags": ("model=lstm", "data=pos_tags", "data.sentences=800", *DROPOUT),
    "seq2seq, dates": ("model=seq2seq", "data=dates", "data.samples=1000", "model.hidden_size=32", *DROPOUT),
    "GAN, digits": ("model=gan", "data=digits", "model.channels=[8,16]", "model.spectral_norm=true"),
}
TRAINING = {
    "Adam": ("optimizer=adam",),
    "SGD, one_cycle": ("optimizer=sgd", "scheduler=one_cycle"),
    "EMA": ("regularization.ema=0.99",),
}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EPOCHS, ATTEMPTS = 4, 10
COMMON = (
    f"trainer.max_epochs={EPOCHS}", "accelerator=cpu", "callbacks.last.minutes=0.002", "~callbacks.pictures",
    "~callbacks.attention",
)  # fmt: skip


class Run:
    """A run of ``train.py`` in a fork of this process."""

    def __init__(self, *overrides: str, output: Path) -> None:
        self.output = output
        self.process = os.fork()
        if not self.process:
            self._train(overrides)

    def wait(self) -> int:
        """Returns the exit status; negative for the number of a signal that killed the run."""
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _train(self, overrides: tuple[str, ...]) -> None:
        status = 99
        try:
            os.chdir(ROOT)
            for number in (signal.SIGINT, signal.SIGTERM):  # A shell ignores SIGINT in a background process.
                signal.signal(number, signal.SIG_DFL)
            descriptor = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.argv = ["train.py", *overrides]
            runpy.run_path("train.py", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def interrupt(folder: Path, overrides: tuple[str, ...], number: signal.Signals, moment: float) -> str:
    """Starts a run and ends it with a signal, ``moment`` seconds after its training has started. Returns its output.

    Raises:
        TimeoutError: if its training was complete before.
    """
    run = Run(*overrides, f"hydra.run.dir={folder}", output=folder.with_suffix(".out"))
    while not (folder / "checkpoints" / "last.ckpt").exists():
        if os.waitpid(run.process, os.WNOHANG) != (0, 0):
            raise RuntimeError(run.output.read_text())
        time.sleep(0.001)
    time.sleep(moment)
    os.kill(run.process, number)
    status, output = run.wait(), run.output.read_text()
    if status == 0 or "training is complete" in output or is_trained(folder):
        raise TimeoutError
    expected = -number if number == signal.SIGKILL else 128 + number
    if status != expected:
        raise RuntimeError(f"status {status} instead of {expected}: {output}")
    if number != signal.SIGKILL and not re.search(rf"to continue: python train.py \S*resume=\S+{folder.name}", output):
        raise RuntimeError(f"no command to continue: {output}")
    return output


def is_trained(folder: Path) -> bool:
    """Returns whether all epochs of a run are done; a kill after that loses the test alone."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return completed_epochs(content) == EPOCHS


def differences(whole: Path, resumed: Path) -> Iterator[str]:
    """Yields what differs between the results of two runs."""
    for name in ("last", "best"):
        old, new = (torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (whole, resumed))
        for key in ("epoch", "global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
            if not equal(old.get(key), new.get(key)):
                yield f"{name}.ckpt: {key}"
        if not equal(*(content["callbacks"]["Resume"]["random_state"] for content in (old, new))):
            yield f"{name}.ckpt: random state"
    if (whole / "metrics.csv").read_bytes() != (resumed / "metrics.csv").read_bytes():
        yield "metrics.csv"
    old, new = (json.loads((folder / "metrics.json").read_text()) for folder in (whole, resumed))
    yield from (f"metrics.json: {key}" for key in old if key != "fit_seconds" and old[key] != new.get(key))
    yield from (f"left over: {file}" for file in resumed.rglob(".*"))


def equal(first: Any, second: Any) -> bool:
    """Returns whether two structures of tensors and plain values are equal bit for bit."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


def check(moments: int, seed: int, models: dict[str, tuple[str, ...]] = MODELS) -> int:
    """Tries a number of moments, prints a table, and returns the number of resumed runs that differ."""
    torch.set_num_threads(1)
    generator, failures = random.Random(seed), 0
    print(f"interruptions: {moments} moments, seed={seed}", flush=True)
    pairs = [(model, training) for training in TRAINING for model in models]
    with tempfile.TemporaryDirectory() as directory:
        seconds: dict[tuple[str, str], float] = {}
        for moment in range(moments):
            model, training = pair = pairs[moment % len(pairs)]
            overrides = (*models[model], *TRAINING[training], *COMMON)
            whole = Path(directory, f"whole-{pairs.index(pair)}")
            if pair not in seconds:
                run = Run(*overrides, f"hydra.run.dir={whole}", output=whole.with_suffix(".out"))
                if run.wait():
                    raise RuntimeError(run.output.read_text())
                seconds[pair] = json.loads((whole / "metrics.json").read_text())["fit_seconds"]
            number = SIGNALS[(moment + moment // len(pairs)) % 3]
            part = generator.random() * (1 / EPOCHS if moment // 3 % 3 == 0 else 1)
            folder, attempt = Path(directory, f"run-{moment}"), 0
            while True:
                try:
                    interrupt(folder, overrides, number, part * seconds[pair])
                    break
                except TimeoutError:  # The run was faster than the uninterrupted one.
                    part, attempt = part * 0.7, attempt + 1
                    if attempt == ATTEMPTS:
                        raise
                    folder = Path(directory, f"run-{moment}-{attempt}")
            saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
            run = Run(f"resume={folder}", output=folder.with_suffix(".out"))
            found = [run.output.read_text()] if run.wait() else list(differences(whole, folder))
            failures += bool(found)
            steps = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
            print(
                f"  {moment + 1:3}  {model:15} {training:15} {number.name:8} saved at step {saved['global_step']:4} of "
                f"{steps:4} (epoch {saved['epoch'] + 1})  {'; '.join(found) or 'equal'}",
                flush=True,
            )
    print(f"{moments - failures} of {moments} resumed runs equal the uninterrupted run bit for bit")
    return failures


def main() -> None:
    seed = next((int(text.removeprefix("seed=")) for text in sys.argv[1:] if text.startswith("seed=")), None)
    moments = next((int(text) for text in sys.argv[1:] if text.isdigit()), 30)
    raise SystemExit(bool(check(moments, random.SystemRandom().randrange(2**31) if seed is None else seed)))


if __name__ == "__main__":
    main()
