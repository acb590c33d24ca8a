"""Instantiates objects from config nodes. Each place asks for its kind of class, and nothing else is called."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, get_type_hints

from primer.config import paths
from primer.config.types import check_type, classes_in, constructor_hints, shorten
from primer.errors import InputError, suggest

T = TypeVar("T")

TARGET = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
"""A dotted path of public names."""


def instantiate(node: Any, kind: type[T], **more: Any) -> T:
    """Returns the object that a config node describes with its ``_target_``.

    A nested node must describe a class that the hint of its argument names. Nothing is called before the whole node has
    been checked. Strings are passed on as they are: interpolations are not resolved.

    Args:
        node: a mapping with ``_target_`` and its arguments.
        kind: the class that the result must be an instance of.
        more: arguments that the run sets.

    Raises:
        InputError: if a target is not of its kind, or does not accept the arguments.
    """
    call = _plan(node, (kind,), frozenset(more))
    check_arguments(call.factory, call.settings, more)
    return call(**more)


def instantiate_partial(node: Any, kind: type[T]) -> partial[T]:
    """Returns the class of a node with its arguments, for an optimizer or a scheduler, which needs more of them later.
    Checks what ``instantiate`` checks."""
    call = _plan(node, (kind,))
    return partial(call.factory, **call.build_settings())


@dataclass(frozen=True)
class _Call(Generic[T]):
    """A checked call. The settings may contain other calls."""

    factory: Callable[..., T]
    settings: dict[str, Any]

    def __call__(self, **more: Any) -> T:
        return self.factory(**self.build_settings(), **more)

    def build_settings(self) -> dict[str, Any]:
        return {key: _build(value) for key, value in self.settings.items()}


def _build(value: Any) -> Any:
    if isinstance(value, _Call):
        return value()
    if isinstance(value, dict):
        return {key: _build(item) for key, item in value.items()}
    return [_build(item) for item in value] if isinstance(value, list) else value


def _plan(node: Any, kinds: tuple[type[T], ...], reserved: frozenset[str] = frozenset()) -> _Call[T]:
    """Checks a node and the nodes within it, and returns the call that it describes."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise InputError(f"{_with_article(kinds[0])} is expected here: a mapping with _target_")
    check_keys(node)
    target = node["_target_"]
    factory = locate_any(target, kinds)
    settings = {str(key): value for key, value in node.items() if key != "_target_"}
    if clash := sorted(reserved & settings.keys()):
        raise InputError(f"{target} does not accept {clash[0]} from a config: the run sets it")
    hints = constructor_hints(factory)
    own = _home(factory).split(".")[0] in paths.own_packages()
    for key, value in settings.items():
        if any(True for _ in targets(value)):
            settings[key] = _plan_nested(f"{target}: {key}", value, hints.get(key))
        elif own and (hint := hints.get(key)) in _built(hint) and not isinstance(value, hint):
            raise InputError(f"{factory.__name__}: {key} must be {_with_article(hint)}, not {shorten(value)}")
        elif own and key in hints:  # The hints of libraries are not always exact.
            check_type(f"{factory.__name__}: {key}", value, hints[key])
    return _Call(factory, settings)


def _plan_nested(path: str, value: Any, hint: Any) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        if not (kinds := _built(hint)):
            raise InputError(f"the target {value['_target_']!r} is refused: {path} does not take an object")
        return _plan(value, kinds)
    if isinstance(value, Mapping):
        return {key: _plan_nested(f"{path}.{key}", item, hint) for key, item in value.items()}
    return [_plan_nested(path, item, hint) for item in value] if isinstance(value, list | tuple) else value


def _built(hint: Any) -> tuple[type, ...]:
    """Returns the classes in a hint whose objects a config can describe."""
    return tuple(kind for kind in dict.fromkeys(classes_in(hint)) if kind.__module__.split(".")[0] in paths.packages())


def check_arguments(target: Any, settings: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """Raises ``InputError`` if a class or function cannot be called with these arguments."""
    name = getattr(target, "__qualname__", str(target))
    if inspect.isabstract(target):
        missing = ", ".join(sorted(target.__abstractmethods__))
        raise InputError(f"{name} does not define {missing}, which its base class requires")
    parameters = inspect.signature(target).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        accepted = [parameter.name for parameter in parameters]
        for argument in more:
            if argument not in accepted:
                raise InputError(
                    f"{name}.__init__ must accept {argument} and pass it on to its base class; it accepts "
                    f"{', '.join(accepted) or 'nothing'}"
                )
        for setting in settings:
            if setting not in accepted:
                raise InputError(f"{name} does not accept {setting}; {suggest(setting, accepted)}")
    try:
        inspect.signature(target).bind(**{**settings, **more})
    except TypeError as error:
        raise InputError(f"{name}: {error}") from error


# Targets.


def locate(target: Any, kind: type[T]) -> type[T]:
    """Imports the class at a dotted path and checks that it is a subclass of ``kind``.

    Raises:
        InputError: if the target is outside of ``packages()`` or not a subclass of ``kind``.
    """
    found = import_target(target)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise InputError(f"{target} is not {_with_article(kind)}")
    return found


def locate_any(target: Any, kinds: tuple[type[T], ...]) -> Callable[..., T]:
    """Imports a class of one of several kinds, or a function that is annotated to return one. The function must be
    Primer's or your own: a library has functions that run code.

    Raises:
        InputError: if it is neither.
    """
    found = import_target(target)
    if isinstance(found, type):
        returned = found
    else:
        own = inspect.isfunction(found) and _home(found).split(".")[0] in paths.own_packages()
        returned = get_type_hints(found).get("return") if own else None
    if not (isinstance(returned, type) and issubclass(returned, kinds)):
        expected = " or ".join(_with_article(kind) for kind in kinds)
        raise InputError(f"{target} is not {expected}, nor does it return one")
    return found


def import_target(target: Any) -> Any:
    """Imports the class or function at a dotted path.

    Raises:
        InputError: if it does not exist, is neither a class nor a function, or if the place where it is defined is
            outside of ``packages()``, however it was imported.
    """
    import hydra

    check_target(target)
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:
        raise InputError(f"{target} cannot be imported: {' '.join(str(error).split())}") from error
    home = _home(found)
    if not home:
        raise InputError(f"the target {target!r} is refused: it is not a class or a function")
    if home.split(".")[0] not in paths.packages():
        raise InputError(
            f"the target {target!r} is refused: it is defined in {found.__module__}, not in "
            f"{', '.join(paths.packages())}"
        )
    return found


def check_target(target: Any) -> None:
    """Raises ``InputError`` unless a target is a dotted path of public names within ``packages()``."""
    if not isinstance(target, str) or target.split(".")[0] not in paths.packages():
        raise InputError(f"the target {target!r} is refused: it must be in {paths.allowed()}")
    if not TARGET.fullmatch(target):
        raise InputError(f"the target {target!r} is refused: it must be a dotted path of public names")


def check_keys(node: Mapping[Any, Any]) -> None:
    """Raises ``InputError`` for a special key other than ``_target_``, such as ``_args_``."""
    for key in node:
        if not isinstance(key, str) or (key.startswith("_") and key != "_target_"):
            raise InputError(
                f"{node['_target_']}: the key {key!r} is refused: only _target_ and names of arguments are allowed"
            )


def targets(node: Any) -> Iterator[Any]:
    """Yields every ``_target_`` within a node, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield value
            else:
                yield from targets(value)
    elif isinstance(node, list | tuple) or type(node).__name__ == "ListConfig":
        for value in node:
            yield from targets(value)


def _home(found: Any) -> str:
    """Returns where a class or function is defined, which is not always where it was imported from; empty if it is not
    there."""
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return ""
    there: Any = sys.modules.get(module)
    for part in name.split("."):
        there = getattr(there, part, None)
    return f"{module}.{name}" if there is found else ""


def _with_article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
