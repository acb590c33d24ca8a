"""``python -m primer list``: the table of models and the data sets that they accept."""

import sys

from primer.cli.listing import compatibility_table


def main(arguments: list[str]) -> int:
    """Runs the given command and returns the exit status."""
    if arguments in (["list"], []):
        print(compatibility_table())
        return 0
    if arguments in (["--help"], ["-h"]):
        print("python -m primer list    which models accept which data\npython train.py --help   how to train")
        return 0
    print(f"error: primer {' '.join(arguments)}: unknown command; valid: list", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
