"""Instantiates objects from config nodes. Targets must come from a known package and be of the requested class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from primer.config import paths
from primer.errors import InputError, suggest

T = TypeVar("T")


def instantiate(node: Any, kind: type[T] | None = None, **more: Any) -> T:
    """Returns the object that a config node describes with its ``_target_``, including all nested objects.

    Args:
        node: a mapping with ``_target_`` and its arguments.
        kind: the class that the result must be an instance of.
        more: additional arguments.

    Raises:
        InputError: if a target is outside of ``packages()`` or not of the ``kind``. Nothing has been called then.
    """
    import hydra
    from hydra.errors import InstantiationException

    check_targets(node)
    target = import_target(node["_target_"])
    if kind is not None:
        returned = target if isinstance(target, type) else get_type_hints(target).get("return")
        if not (isinstance(returned, type) and issubclass(returned, kind)):
            raise InputError(f"{node['_target_']} is not {_with_article(kind)}, nor does it return one")
    for nested in (name for value in node.values() for name in targets(value)):
        if not isinstance(import_target(nested), type):
            raise InputError(f"the target {nested!r} is refused: a nested target must be a class")
    try:
        result = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        if not node.get("_partial_"):
            check_arguments(target, result.keywords, more)
            result = result(**more)  # Passed through Hydra, dataclasses among the arguments would become configs.
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return result


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


def _with_article(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def locate(target: str, kind: type[T]) -> type[T]:
    """Imports the class at a dotted path and checks that it is a subclass of ``kind``.

    Raises:
        InputError: if the target is outside of ``packages()`` or not a subclass of ``kind``.
    """
    found = import_target(target)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise InputError(f"{target} is not {_with_article(kind)}")
    return found


def import_target(target: str) -> Any:
    """Imports the object at a dotted path.

    Raises:
        InputError: if it does not exist, or if the package only imports it from outside of ``packages()``.
    """
    import hydra

    check_target(target)
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:
        raise InputError(f"{target} cannot be imported: {' '.join(str(error).split())}") from error
    module = getattr(found, "__module__", None) or target
    if module.split(".")[0] not in paths.packages():
        raise InputError(
            f"the target {target!r} is refused: it is defined in {module}, not in {', '.join(paths.packages())}"
        )
    return found


def check_targets(node: Any) -> None:
    """Raises ``InputError`` if any ``_target_`` within a node is outside of ``packages()``."""
    for target in targets(node):
        check_target(target)


def check_target(target: Any) -> None:
    """Raises ``InputError`` if a target is outside of ``packages()``."""
    if not isinstance(target, str) or target.split(".")[0] not in paths.packages():
        raise InputError(f"the target {target!r} is refused: it must be in {paths.allowed()}")


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
