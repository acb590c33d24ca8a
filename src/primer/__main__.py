"""``python -m primer list``: the table of models and the data that they take."""

import sys

from primer.cli.listing import table


def main(arguments: list[str]) -> int:
    """Does what the first argument says. Returns the exit status."""
    if arguments in (["list"], []):
        print(table())
        return 0
    if arguments in (["--help"], ["-h"]):
        print("python -m primer list    which model fits which data\npython train.py --help   how to train")
        return 0
    print(f"error: primer {' '.join(arguments)}: there is no such command; valid: list", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
