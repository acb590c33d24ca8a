"""Constructor arguments of a model, as plain values for its checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np


def bind_arguments(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a constructor by name, including defaults; empty if they do not match its signature."""
    try:
        bound = inspect.signature(kind.__init__).bind(None, *args, **kwargs)
    except TypeError:  # The constructor raises a better error, and copying calls ``__new__`` without arguments.
        return {}
    bound.apply_defaults()
    parameters = list(bound.signature.parameters.values())[1:]
    arguments: dict[str, Any] = {}
    for parameter in parameters:
        value = bound.arguments[parameter.name]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= value
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            arguments[parameter.name] = value
    return arguments


def plain(value: Any) -> Any:
    """Converts a value to dictionaries, lists, strings, numbers and None, so that a checkpoint loads without running
    code."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
