"""The error of a user, as opposed to an error of the program."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave cannot be used. The message is one line that says what is wrong and what would be
    right; a command prints it without a traceback and exits with status 2."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """A hint for a misspelled name: the closest valid one, and all of them."""
    valid = list(valid)
    if not valid:
        return "it takes none"
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}valid: {', '.join(valid)}"
