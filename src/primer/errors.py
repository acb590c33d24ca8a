"""The exception for invalid user input, as opposed to bugs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Invalid user input. The message is one line that states the problem and how to fix it; commands print it without
    a traceback and exit with status 2."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """Returns a hint for a misspelled name: the closest valid name, and all valid names."""
    valid = list(valid)
    if not valid:
        return "it does not accept any"
    close = closest(name, valid)
    hint = f"did you mean {close}? " if close else ""
    return f"{hint}valid: {', '.join(valid)}"


def closest(name: str, valid: Sequence[str], cutoff: float = 0.55) -> str | None:
    """Returns the valid name that is most similar to a name, or None if none is similar.

    Case and underscores do not count, and a name with the same letters in another order is the most similar.

    Args:
        name: the misspelled name.
        valid: the valid names.
        cutoff: the lowest similarity, from 0 to 1.
    """
    plain = {one: _plain(one) for one in valid}
    similar = difflib.get_close_matches(_plain(name), plain.values(), n=3, cutoff=cutoff)
    letters = sorted(_plain(name))
    similar.sort(key=lambda one: sorted(one) != letters)
    return next((one for one in valid if similar and plain[one] == similar[0]), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
