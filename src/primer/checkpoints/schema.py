"""Checks the content of a checkpoint, which may come from a stranger, before anything is built from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any, NotRequired, TypedDict, get_type_hints

from torch import Tensor, nn, strided

from primer.config import paths
from primer.config.instantiate import check_target
from primer.config.types import check_type, shorten
from primer.errors import InputError
from primer.models.base.model import FORMAT
from primer.spec import INPUTS, TARGETS, Classes, Environment, FiniteEnvironment, Interactions, Sequence, Tokens

Plain = None | bool | int | float | str

GROUPS = (
    "model", "data", "objective", "optimizer", "scheduler", "regularization", "transfer", "accelerator", "trainer",
    "logger", "callbacks", "paths",
)  # fmt: skip
"""Groups of a config."""

BUILT_WHEN_LOADED = ("data", "model", "objective", "regularization")
"""Groups whose objects are built when a checkpoint is loaded, and so must be of Primer or of your own packages."""

MAX_DEPTH, MAX_VALUES, MAX_SIZE = 12, 100_000, 2**31 - 1
"""Limits of the settings in a checkpoint, and of each size in a spec."""


class Config(TypedDict):
    """The config of a run, as far as it is read. Empty if the run did not have one."""

    seed: int | None
    data: dict[str, Any]
    weights: NotRequired[str | None]
    resume: NotRequired[str | None]
    monitor: NotRequired[str | None]
    mode: NotRequired[str | None]
    optimized_metric: NotRequired[str | list[str] | None]
    task_name: NotRequired[str]
    test: NotRequired[bool]


class Description(TypedDict):
    """What a model adds to a checkpoint, in ``Model.on_save_checkpoint``."""

    format: int
    model: dict[str, Any]
    objective: dict[str, Any]
    spec: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]


class Content(TypedDict):
    """A checkpoint of Lightning, without the state of the training."""

    epoch: int
    global_step: int
    state_dict: dict[str, Tensor]
    primer: Description


MAY_BE_ZERO = ("start", "end", "continues", "positive", "counts", "occurrences", "window")
"""Integers of a spec that are indices or counts, rather than sizes."""


def check_content(content: Any) -> None:
    """Raises ``InputError`` unless a checkpoint has the structure, types and sizes that a run writes."""
    ours = content.get("primer") if isinstance(content, dict) else None
    if not isinstance(ours, dict) or not {"model", "objective", "spec", "config"} <= ours.keys():
        raise InputError("is not a checkpoint of Primer: it does not describe its model")
    check_format(ours.get("format", 1))
    check_type("its content", content, Content)
    for key in ("epoch", "global_step"):
        check_size(key, content[key], 0)
    for name, tensor in content["state_dict"].items():
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != strided or tensor.is_meta:
            raise InputError(f"state_dict.{name} must be a dense tensor")
    for part in ("model", "objective"):
        check_plain(part, ours[part])
        check_own_targets(part, ours[part])
        if any(isinstance(value, Mapping) and "_target_" in value for value in ours[part].values()):
            raise InputError(f"{part} must not contain another _target_")
    check_plain("metrics", ours["metrics"])
    check_config(ours["config"])
    check_spec(ours["spec"])


def check_format(number: Any) -> None:
    """Raises ``InputError`` if a checkpoint has a different format than this version of Primer reads."""
    if number != FORMAT or isinstance(number, bool):
        age = "an older" if isinstance(number, int) and number < FORMAT else "a newer"
        raise InputError(
            f"was written by {age} version of Primer: its format is {shorten(number)}, and this version reads "
            f"{FORMAT}; use that version, or train again"
        )


def check_plain(path: str, value: Any) -> None:
    """Raises ``InputError`` unless a value consists of mappings, lists, strings and numbers, of limited size, without
    interpolations and without special keys."""
    for count, (where, item, depth) in enumerate(walk(path, value)):
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise InputError(f"{path} has too many values")
        if isinstance(item, str) and "${" in item:
            raise InputError(f"{where} contains an interpolation, which is refused: {shorten(item)}")
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str) or (key.startswith("_") and key.endswith("_") and key != "_target_"):
                    raise InputError(f"{where} has the key {shorten(key)}, which is refused")
            if "_target_" in item:
                check_target(item["_target_"])
        elif not isinstance(item, list | tuple):
            check_type(where, item, Plain)
            if isinstance(item, int) and abs(item) >= 2**63:
                raise InputError(f"{where} must have fewer digits")
            if item != item and path != "metrics":
                raise InputError(f"{where} must not be NaN")


def walk(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any, int]]:
    """Yields all values within a value, with their paths and depths."""
    yield path, value, depth
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from walk(f"{path}.{shorten(key) if not isinstance(key, str) else key}", item, depth + 1)


def check_own_targets(path: str, node: Any) -> None:
    """Raises ``InputError`` unless a node has a ``_target_``, and all targets within it are in your own packages or
    Primer's."""
    if "_target_" not in node:
        raise InputError(f"{path} does not have a _target_")
    own = paths.own_packages()
    for where, item, _ in walk(path, node):
        if where.endswith("._target_") and item.split(".")[0] not in own:
            raise InputError(f"the target {item!r} is refused: within {path} it must be in {' or '.join(own)}")


def check_config(config: dict[str, Any]) -> None:
    """Raises ``InputError`` unless a config is empty, or has the groups and settings of a run."""
    check_plain("config", config)
    if not config:
        return
    check_type("config", config, Config)
    if config["seed"] is not None and not 0 <= config["seed"] < 2**32:
        raise InputError(f"config.seed must be from 0 to {2**32 - 1}, not {shorten(config['seed'])}")
    for group in GROUPS:
        if group not in config:
            continue
        check_type(f"config.{group}", config[group], dict[str, Any])
        if group in BUILT_WHEN_LOADED:
            check_own_targets(f"config.{group}", config[group])


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
        check_lengths(path, kind, {**{key: field.default for key, field in known.items()}, **values})
    continued = plain["target"].get("continues", ())
    if continued and not max(continued) < plain["input"].get("features", 0):
        raise InputError("spec.target.continues must be indices of input features")
    occurrences, words = plain["target"].get("occurrences"), plain["input"].get("vocabulary", ())
    if occurrences is not None and len(occurrences) != len(words):
        raise InputError(f"spec.target.occurrences must have {len(words)} entries, not {len(occurrences)}")


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
