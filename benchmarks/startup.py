"""Startup time of commands: help, listings and invalid overrides compared with Python alone, and the imports of a run
compared with those of torch and Lightning."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 3
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import hydra": ["-c", "import hydra"],
    "train.py --help": ["train.py", "--help"],
    "python -m primer list": ["-m", "primer", "list"],
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "train.py optimzer=adam": ["train.py", "optimzer=adam"],
    "train.py model=lstm data=iris": ["train.py", "model=lstm", "data=iris"],
    "import torch": ["-c", "import torch"],
    "import lightning": ["-c", "import lightning"],
    "import primer.run.training": ["-c", "import primer.run.training"],
}


def main() -> None:
    print(f"startup: seconds per process, median of {RUNS}")
    for name, arguments in COMMANDS.items():
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
            times.append(time.perf_counter() - start)
        print(f"  {name:30} {statistics.median(times):6.2f}")


if __name__ == "__main__":
    main()
