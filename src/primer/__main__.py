"""``python -m primer list``: which models accept which data. ``python -m primer report RUN``: the report of a run."""

import sys

from primer.cli.listing import compatibility_list
from primer.cli.reporting import report


def main(arguments: list[str]) -> int:
    """Runs the given command and returns the exit status."""
    if arguments in (["list"], []):
        print(compatibility_list())
        return 0
    if arguments[:1] == ["report"] and len(arguments) == 2:
        return report(arguments[1])
    if arguments in (["--help"], ["-h"]):
        print("python -m primer list          which models accept which data")
        print("python -m primer report RUN    write report.html and pictures/curves.png again")
        print("python train.py --help         how to train")
        return 0
    print(f"error: primer {' '.join(arguments)}: unknown command; valid: list, report RUN", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
