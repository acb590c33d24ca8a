"""Exceptions that a command reports in one line: invalid user input, a run that failed or was pruned, and a signal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from signal import Signals

SIGNAL_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up", "SIGUSR2": "preempted"}


class InputError(ValueError):
    """Invalid user input. The message is one line that states the problem and how to fix it; commands print it without
    a traceback and exit with status 2."""


class RunError(RuntimeError):
    """A run that failed although its input is valid, such as one that diverged. The message is one line; commands print
    it without a traceback and exit with status 1."""


class PrunedError(RuntimeError):
    """A run that its sweep ended early because others were better at the same epoch.

    Args:
        message: which value was compared, and when.
        value: the last value of the metric.
    """

    def __init__(self, message: str, value: float) -> None:
        super().__init__(message)
        self.value = value


class TrainingCompleteError(InputError):
    """A run cannot be resumed because its training is complete."""


class Interrupted(SystemExit):
    """A signal that ends the command, with status 128 plus the number of the signal.

    Args:
        signum: the signal.
        outcome: what was saved, and how to continue.
    """

    def __init__(self, signum: Signals, outcome: str) -> None:
        super().__init__(128 + signum)
        self.signal = signum
        self.message = f"{SIGNAL_WORDS.get(signum.name, signum.name)}: {outcome}"


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Names the source of what is checked, such as a file, at the start of the message of an ``InputError``."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error.__cause__


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
