"""The largest memory of a process that trains on images of MNIST's shape, beside one that only imports Lightning, and
beside the size of the data."""

from __future__ import annotations

import resource
import subprocess
import sys

IMPORTS = "import lightning, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def peak() -> float:
    """The largest resident memory of this process so far, in MiB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 2**10


def main() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    imports = int(done.stdout) / (2**20 if sys.platform == "darwin" else 2**10)

    from benchmarks.step import Images
    from primer.batch import Batch

    data = Images(test_fraction=0.01, val_fraction=0.01).prepare()
    held = sum(part.nbytes for part in data.parts.values() if isinstance(part, Batch)) / 2**20
    for _ in data.train_dataloader():
        pass
    print("memory: largest resident memory of a process, in MiB")
    print(f"  import lightning             {imports:7.0f}")
    print(f"  60,000 images read and split {peak():7.0f}, of which {held:.0f} are the data")


if __name__ == "__main__":
    main()
