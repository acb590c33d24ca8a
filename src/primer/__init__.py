"""Primer: a first course in deep learning behind one command."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from primer.checkpoints.reading import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Import lazily: torch takes seconds to import, and help and config errors do not need it.
    if name == "load":
        from primer.checkpoints.reading import load

        return load
    raise AttributeError(f"module 'primer' has no attribute {name!r}")
