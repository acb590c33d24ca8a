"""Arguments of ``python -m primer``: paths, and settings as ``key=value``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from primer.errors import InputError


def split_arguments(arguments: Sequence[str], keys: Collection[str], usage: str) -> tuple[list[str], dict[str, str]]:
    """Splits arguments into paths, which may contain ``=`` if they exist, and settings.

    Args:
        arguments: as typed.
        keys: the settings that the command takes.
        usage: shown with an error.

    Raises:
        InputError: for a setting that the command does not take.
    """
    paths, settings = [], {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys:
            settings[key] = value
        elif equals and not Path(argument).exists():
            raise InputError(f"{argument}: there is no setting {key}; usage: {usage}")
        else:
            paths.append(argument)
    return paths, settings
