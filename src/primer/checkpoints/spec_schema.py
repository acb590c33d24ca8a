"""Checks the spec in a checkpoint, which may come from a stranger."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any, TypedDict, get_type_hints

from primer.config.types import check_type, shorten
from primer.errors import InputError
from primer.spec import (
    INPUTS,
    TARGETS,
    Classes,
    Environment,
    FiniteEnvironment,
    Interactions,
    Sequence,
    Tokens,
    Waveform,
)

MAX_SIZE = 2**31 - 1
"""The limit of each size in a spec."""
MAX_WINDOW, MAX_RATE = 1 << 16, 1 << 20
"""The largest window of a recording in samples, and the highest sample rate in Hz."""
MAY_BE_ZERO = ("start", "end", "continues", "positive", "counts", "occurrences", "window")
"""Integers of a spec that are indices or counts, rather than sizes."""


def check_spec(plain: dict[str, Any]) -> None:
    """Raises ``InputError`` unless a mapping is a spec: known types, and values of their types and sizes."""
    for side, kinds in (("input", INPUTS), ("target", TARGETS)):
        path = f"spec.{side}"
        check_type("spec", plain, TypedDict("Side", {side: dict[str, Any]}))  # type: ignore[operator]
        values = {key: value for key, value in plain[side].items() if key != "type"}
        name = plain[side].get("type")
        kind = next((kind for kind in kinds if kind.__name__ == name), None)
        if kind is None:
            raise InputError(f"{path}.type is unknown: {shorten(name)}")
        hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
        if unknown := next((key for key in values if key not in known), None):
            raise InputError(f"{path} has an unknown entry {shorten(unknown)}")
        for key, field in known.items():
            if key not in values and field.default is MISSING:
                raise InputError(f"{path} does not have {key}")
            if key in values:
                check_type(f"{path}.{key}", values[key], hints[key])
                check_numbers(f"{path}.{key}", values[key])
        if values.get("recording") is not None:
            check_recording(f"{path}.recording", values)
        check_lengths(path, kind, {**{key: field.default for key, field in known.items()}, **values})
    continued = plain["target"].get("continues", ())
    if continued and not max(continued) < plain["input"].get("features", 0):
        raise InputError("spec.target.continues must be indices of input features")
    occurrences, words = plain["target"].get("occurrences"), plain["input"].get("vocabulary", ())
    if occurrences is not None and len(occurrences) != len(words):
        raise InputError(f"spec.target.occurrences must have {len(words)} entries, not {len(occurrences)}")


def check_recording(path: str, values: dict[str, Any]) -> None:
    """Raises ``InputError`` unless the recordings of a spec have the types and sizes that features can be computed
    from."""
    check_type(path, values["recording"], dict[str, Any])
    plain, hints = values["recording"], get_type_hints(Waveform)
    if unknown := next((key for key in plain if key not in hints), None):
        raise InputError(f"{path} has an unknown entry {shorten(unknown)}")
    for key, field in ((field.name, field) for field in fields(Waveform)):
        if key not in plain and field.default is MISSING:
            raise InputError(f"{path} does not have {key}")
        if key in plain:
            check_type(f"{path}.{key}", plain[key], hints[key])
            check_numbers(f"{path}.{key}", plain[key])
    kind = Waveform(**plain)
    for key in ("window", "hop", "mels", "coefficients"):
        if not 1 <= getattr(kind, key) <= MAX_WINDOW:
            raise InputError(f"{path}.{key} must be from 1 to {MAX_WINDOW}, not {getattr(kind, key)}")
    if kind.sample_rate > MAX_RATE or kind.features not in ("log_mel", "mfcc") or kind.coefficients > kind.mels:
        raise InputError(f"{path} does not describe features that can be computed")
    if kind.size != values.get("features", values.get("height")) and not values.get("native"):
        raise InputError(f"{path} has {kind.size} features, unlike its inputs")
    for key in ("mean", "std"):
        if len(getattr(kind, key)) not in (0, kind.size):
            raise InputError(f"{path}.{key} must have {kind.size} entries, not {len(getattr(kind, key))}")


def check_numbers(path: str, value: Any) -> None:
    """Raises ``InputError`` for a number in a spec that is negative where it is a size, or not finite."""
    least = 0 if path.rpartition(".")[2] in MAY_BE_ZERO else 1
    numbers = value if isinstance(value, list | tuple) else [value]
    for number in numbers:
        if isinstance(number, int) and not isinstance(number, bool) and not path.endswith((".mean", ".std", ".offset")):
            check_size(path, number, least)
        elif isinstance(number, float) and not math.isfinite(number):
            raise InputError(f"{path} must be finite, not {number}")
    if path.endswith(".std") and any(number < 0 for number in numbers):
        raise InputError(f"{path} must not be negative")


def check_size(path: str, value: int, least: int) -> None:
    """Raises ``InputError`` unless ``least <= value <= MAX_SIZE``."""
    if not least <= value <= MAX_SIZE:
        raise InputError(f"{path} must be from {least} to {MAX_SIZE}, not {shorten(value)}")


def check_lengths(path: str, kind: type, values: dict[str, Any]) -> None:
    """Raises ``InputError`` unless the entries of one side of a spec fit each other."""
    entries = values.get("channels", values.get("features", len(values.get("names", ()))))
    if "names" in values and "features" not in values and not entries:
        raise InputError(f"{path}.names must not be empty")
    for key in ("names", "mean", "std", "offset", "counts", "naive", "seasonal", "continues"):
        if len(values.get(key, ())) not in (0, entries):
            raise InputError(f"{path}.{key} must have {entries} entries, not {len(values[key])}")
    if kind is Classes and not values["positive"] < max(2, entries):
        raise InputError(f"{path}.positive must be the index of a class, not {values['positive']}")
    if kind is Environment or "height" in values:
        sizes = (
            values["observation"]
            if kind is Environment
            else [values[key] for key in ("frames", "channels", "height", "width") if key in values]
        )
        check_size(path, math.prod(sizes), 1)
    if kind is FiniteEnvironment:
        cells = math.prod(values["grid"])
        if values["grid"] and (len(values["grid"]) != 2 or values["states"] % cells):
            raise InputError(f"{path}.grid must be a number of rows and of columns that divide the number of states")
        if len(values["moves"]) not in (0, values["actions"]):
            raise InputError(f"{path}.moves must have {values['actions']} entries, not {len(values['moves'])}")
    if kind is Interactions and not (values["users"] and values["items"] and entries == 2):
        raise InputError(f"{path} must have users, items, and the names of two columns")
    words = len(values.get("vocabulary", ()))
    if "vocabulary" in values and words < (2 if kind is Tokens else 1):
        raise InputError(f"{path}.vocabulary must not be empty")
    if kind is Sequence and not (values["start"] < words and values["end"] < words):
        raise InputError(f"{path}: start and end must be in the vocabulary")
