"""From a config to objects, and nothing else: a target must lie in a known package and be of the kind wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from primer.config.paths import PACKAGES
from primer.errors import InputError

T = TypeVar("T")


def instantiate(node: Any, kind: type[T] | None = None, **more: Any) -> T:
    """The object that a config node describes with its ``_target_``, and the objects within it.

    Args:
        node: a mapping with ``_target_`` and the arguments.
        kind: the class that the result must be of.
        more: further arguments.

    Raises:
        InputError: for a target outside of ``PACKAGES``, or one of another kind; nothing was called then.
    """
    import hydra
    from hydra.errors import InstantiationException

    check_targets(node)
    found = find(node["_target_"])
    if kind is not None:
        made = found if isinstance(found, type) else get_type_hints(found).get("return")
        if not (isinstance(made, type) and issubclass(made, kind)):
            raise InputError(f"{node['_target_']} does not make a {kind.__name__}")
    for target in (inner for value in node.values() for inner in targets(value)):
        if not isinstance(find(target), type):
            raise InputError(f"the target {target!r} is refused: within another one only a class may stand")
    try:
        made = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        if not node.get("_partial_"):
            made = made(**more)  # Hydra itself would turn the dataclasses among the arguments into configs.
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return made


def locate(target: str, kind: type[T]) -> type[T]:
    """The class at a dotted path, once it is seen to be of a kind.

    Raises:
        InputError: for a target outside of ``PACKAGES``, or one that is no subclass of ``kind``.
    """
    found = find(target)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise InputError(f"{target} is no {kind.__name__}")
    return found


def find(target: str) -> Any:
    """What lies at a dotted path.

    Raises:
        InputError: where that is nothing, or something that a package only imports from outside of ``PACKAGES``.
    """
    import hydra

    check_target(target)
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:
        raise InputError(f"{target} cannot be found: {' '.join(str(error).split())}") from error
    home = getattr(found, "__module__", None) or target
    if home.split(".")[0] not in PACKAGES:
        raise InputError(f"the target {target!r} is refused: it is of {home}, not of {', '.join(PACKAGES)}")
    return found


def check_targets(node: Any) -> None:
    """Raises ``InputError`` where any ``_target_`` within a node lies outside of ``PACKAGES``."""
    for target in targets(node):
        check_target(target)


def check_target(target: Any) -> None:
    """Raises ``InputError`` for a target outside of ``PACKAGES``."""
    if not isinstance(target, str) or target.split(".")[0] not in PACKAGES:
        raise InputError(f"the target {target!r} is refused: it must lie in one of {', '.join(PACKAGES)}")


def targets(node: Any) -> Iterator[Any]:
    """Every ``_target_`` within a node."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield value
            else:
                yield from targets(value)
    elif isinstance(node, list | tuple) or type(node).__name__ == "ListConfig":
        for value in node:
            yield from targets(value)
