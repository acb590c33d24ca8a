"""How long a command takes before it does anything: help, listing and a mistake beside Python alone, and the imports
of a run beside those of torch and of Lightning."""

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
    print(f"startup: seconds of a whole process, median of {RUNS}")
    for name, arguments in COMMANDS.items():
        times = []
        for _ in range(RUNS):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
            times.append(time.perf_counter() - began)
        print(f"  {name:30} {statistics.median(times):6.2f}")


if __name__ == "__main__":
    main()
