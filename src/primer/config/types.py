"""Checks plain values, such as those of a config or a checkpoint, against type hints."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as AbstractSequence
from pathlib import Path
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from primer.errors import InputError

WORDS: dict[Any, str] = {
    bool: "true or false", int: "an integer", float: "a number", str: "a string", type(None): "null",
    Path: "a path", list: "a list", tuple: "a list", AbstractSequence: "a list",
    dict: "a mapping", Mapping: "a mapping",
}  # fmt: skip


def check_type(path: str, value: Any, hint: Any) -> None:
    """Checks a value against a hint made of plain types, tensors, lists, mappings, unions, literals and typed
    dictionaries. An integer is also a number, and a list is also a tuple. Any other hint accepts every value.

    Args:
        path: names the value in the message.
        value: the value.
        hint: its type.

    Raises:
        InputError: with the path of the first value that does not match.
    """
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        _check_union(path, value, arguments)
    elif origin is Literal:
        _require(any(value == one and type(value) is type(one) for one in arguments), path, value, hint)
    elif is_typeddict(origin):
        _check_typed_dict(path, value, origin)
    elif origin in (list, tuple, AbstractSequence):
        _require(isinstance(value, list | tuple), path, value, hint)
        fixed = origin is tuple and arguments and arguments[-1] is not ...
        _require(not fixed or len(value) == len(arguments), path, value, hint)
        for index, (item, inner) in enumerate(zip(value, arguments if fixed else arguments[:1] * len(value))):  # noqa: B905
            check_type(f"{path}[{index}]", item, inner)
    elif origin in (dict, Mapping):
        _require(isinstance(value, Mapping), path, value, hint)
        for key, item in value.items() if arguments else ():
            check_type(f"a key of {path}", key, arguments[0])
            check_type(f"{path}.{key}", item, arguments[1])
    elif origin is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool), path, value, hint)
    elif origin is int:
        _require(isinstance(value, int) and not isinstance(value, bool), path, value, hint)
    elif origin is Path:
        _require(isinstance(value, str | Path), path, value, hint)
    elif origin in (None, type(None)):
        _require(value is None, path, value, hint)
    elif origin in WORDS or getattr(origin, "__module__", "") == "torch":
        _require(isinstance(value, origin), path, value, hint)


def constructor_hints(factory: Any) -> dict[str, Any]:
    """Returns the type hints of the parameters of a function or a constructor, including those that ``**kwargs`` passes
    on to base classes. Hints that cannot be evaluated are left out."""
    if not isinstance(factory, type):
        return _hints(factory)
    hints: dict[str, Any] = {}
    for owner in factory.__mro__:
        function = vars(owner).get("__init__")
        if not inspect.isfunction(function):
            continue
        hints = _hints(function) | hints
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return hints


def classes_in(hint: Any) -> Iterator[type]:
    """Yields the classes that a hint names, also within unions, lists and mappings."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    elif get_origin(hint) in (Union, types.UnionType, list, tuple, dict, Mapping, AbstractSequence):
        for argument in get_args(hint):
            yield from classes_in(argument)


def shorten(value: Any, width: int = 60) -> str:
    """Returns the representation of a value on one line."""
    if isinstance(value, int) and abs(value) >= 10**20:  # Python refuses to print very long integers.
        return "an integer of more than 20 digits"
    text = " ".join(f"{value!r}".split()) if isinstance(value, str | int | float | None) else ""
    text = text or f"a value of type {type(value).__name__}"
    return text if len(text) <= width else f"{text[:width]}…"


def _hints(function: Any) -> dict[str, Any]:
    try:
        hints = get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, AttributeError):  # A name that is imported for type checkers only.
        return {}
    return {name: hint for name, hint in hints.items() if name != "return"}


def _check_union(path: str, value: Any, options: tuple[Any, ...]) -> None:
    for option in options:
        try:
            return check_type(path, value, option)
        except InputError:
            continue
    _require(False, path, value, Union[options])  # noqa: UP007


def _check_typed_dict(path: str, value: Any, hint: Any) -> None:
    _require(isinstance(value, Mapping), path, value, dict)
    for key, inner in get_type_hints(hint, include_extras=True).items():
        optional = get_origin(inner) is NotRequired
        if key in value:
            check_type(f"{path}.{key}", value[key], get_args(inner)[0] if optional else inner)
        elif not optional:
            raise InputError(f"{path} does not have {key}")


def _require(condition: bool, path: str, value: Any, hint: Any) -> None:
    if not condition:
        raise InputError(f"{path} must be {_describe(hint)}, not {shorten(value)}")


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_describe(one) for one in arguments))
    if origin is Literal:
        return f"one of {', '.join(str(one) for one in arguments)}"
    if origin is tuple and arguments and arguments[-1] is not ...:
        return f"a list of {len(arguments)} entries"
    return WORDS.get(origin) or f"a {getattr(origin, '__name__', origin)}".lower()
