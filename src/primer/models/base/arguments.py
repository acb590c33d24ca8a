"""What a model was constructed with, as plain values for its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np


def bind_arguments(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor by their names, defaults included; empty if they do not fit it."""
    try:
        bound = inspect.signature(kind.__init__).bind(None, *args, **kwargs)
    except TypeError:  # The constructor itself raises a better error, and copying calls ``__new__`` with nothing.
        return {}
    bound.apply_defaults()
    parameters = list(bound.signature.parameters.values())[1:]
    found: dict[str, Any] = {}
    for parameter in parameters:
        value = bound.arguments[parameter.name]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= value
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            found[parameter.name] = value
    return found


def plain(value: Any) -> Any:
    """Dictionaries, lists, strings, numbers and None alone, so that a checkpoint needs no code to load."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
