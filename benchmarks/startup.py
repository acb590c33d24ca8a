"""Startup time: commands that do not need torch compared with Python alone, and the time from pressing Enter to the
first training step compared with ``import torch`` alone, and with what Lightning imports."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
FIRST_STEP = ["train.py", "trainer.max_steps=1", "callbacks=none", "logger=none", "test=false"]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import hydra": ["-c", "import hydra"],
    "train.py --help": ["train.py", "--help"],
    "python -m primer list": ["-m", "primer", "list"],
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "train.py optimzer=adam": ["train.py", "optimzer=adam"],
    "train.py model=lstm data=iris": ["train.py", "model=lstm", "data=iris"],
    "train.py: first line": FIRST_STEP,
    "import torch": ["-c", "import torch"],
    "import torch, torch._dynamo": ["-c", "import torch, torch._dynamo"],
    "import lightning": ["-c", "import lightning"],
    "import primer.run.training": ["-c", "import primer.run.training"],
    "train.py: first step": FIRST_STEP,
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):  # Alternating, so that a machine that becomes busy slows down every command.
            for name, arguments in COMMANDS.items():
                logs = [f"paths.log_dir={folder}"] if arguments is FIRST_STEP else []
                times[name].append(seconds([*arguments, *logs], first_line=name.endswith("first line")))
    print(f"startup: seconds per process, median of {RUNS}")
    for name, runs in times.items():
        print(f"  {name:30} {statistics.median(runs):6.2f}")
    for reference in ("import torch", "import lightning"):
        ratios = [a / b for a, b in zip(times["train.py: first step"], times[reference], strict=True)]
        print(f"from Enter to the first step: {statistics.median(ratios):.2f} times as long as {reference}")


def seconds(arguments: list[str], first_line: bool) -> float:
    """Returns how long a command takes, or takes to print its first line."""
    start = time.perf_counter()
    root = Path(__file__).parents[1]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        if first_line:
            process.stdout.readline()
            process.kill()
        else:
            process.communicate()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
