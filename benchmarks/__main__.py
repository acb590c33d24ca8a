"""``make bench``: every benchmark in turn, each in a process of its own."""

import subprocess
import sys

for name in ("step", "tagging", "augmentation", "flags", "startup", "memory"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
