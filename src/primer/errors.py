"""The exception for invalid user input, as opposed to bugs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Invalid user input. The message is one line that states the problem and how to fix it; commands print it without
    a traceback and exit with status 2."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """Returns a hint for a misspelled name: the closest valid name, and all valid names."""
    valid = list(valid)
    if not valid:
        return "it does not accept any"
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}valid: {', '.join(valid)}"
