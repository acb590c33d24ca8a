"""``make bench``: runs every benchmark, each in its own process."""

import subprocess
import sys

for name in ("step", "language_model", "dqn", "tagging", "augmentation", "flags", "startup", "memory", "vmap"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
