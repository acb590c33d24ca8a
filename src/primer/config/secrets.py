"""Keeps secrets of the environment, such as keys and passwords, out of everything that a run writes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?\d*(_|$)", re.IGNORECASE)
"""Matches the names of environment variables whose values are secrets, but not ``TOKENIZERS_PARALLELISM``."""

MIN_LENGTH = 6
"""Shorter values are no secrets, and occur in other texts by chance."""

REDACTED = re.compile(r"<secret (\w+)>")
"""Matches what ``redact`` writes."""

VARIABLE = re.compile(r"\boc\.env:\s*(\w+)")


def redact(text: str) -> str:
    """Replaces each secret in a text by ``<secret NAME>``."""
    for value, name in _values(filter(SECRET_NAME.search, os.environ)):
        text = text.replace(value, f"<secret {name}>")
    return text


def redact_strings(node: Any) -> Any:
    """Applies ``redact`` to all strings within nested dictionaries and lists."""
    return map_strings(node, redact)


def unresolve(config: Any, raw: str = "") -> Any:
    """Replaces the values of environment variables in a resolved config by interpolations, so that it can be saved and
    loaded again: those of secrets, and those that the config refers to. Primer's own variables are paths, and stay.

    Args:
        config: resolved config.
        raw: text of the config before it was resolved.
    """
    referenced = {name for name in VARIABLE.findall(raw) if not name.startswith("PRIMER_")}
    variables = _values({*filter(SECRET_NAME.search, os.environ), *referenced})

    def replace(text: str) -> str:
        text = text.replace("${", "\\${")
        for value, name in variables:
            text = text.replace(value, f"${{oc.env:{name}}}")
        return text

    return map_strings(config, replace)


def map_strings(node: Any, function: Callable[[str], str]) -> Any:
    """Applies a function to all strings within nested dictionaries and lists, except for keys."""
    if isinstance(node, Mapping):
        return {key: map_strings(value, function) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [map_strings(value, function) for value in node]
    return function(node) if isinstance(node, str) else node


class RedactingFormatter(logging.Formatter):
    """Formats log records like another formatter, without secrets."""

    def __init__(self, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self.formatter.format(record))


def _values(names: Iterable[str]) -> list[tuple[str, str]]:
    """Returns the values and names of environment variables, the longest values first."""
    values = ((os.environ.get(name, ""), name) for name in names)
    return sorted((pair for pair in values if len(pair[0]) >= MIN_LENGTH), key=lambda pair: (-len(pair[0]), pair[1]))
