"""Checks the content of a checkpoint, which may come from a stranger, before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict

from torch import Tensor, nn, strided

from primer.checkpoints.spec_schema import check_size, check_spec
from primer.config import paths
from primer.config.instantiate import check_target
from primer.config.types import check_type, shorten
from primer.errors import InputError
from primer.models.base.model import FORMAT

Plain = None | bool | int | float | str

GROUPS = (
    "model", "data", "objective", "optimizer", "scheduler", "regularization", "transfer", "accelerator", "trainer",
    "logger", "callbacks", "paths",
)  # fmt: skip
"""Groups of a config."""

BUILT_WHEN_LOADED = ("data", "model", "objective", "regularization")
"""Groups whose objects are built when a checkpoint is loaded, and so must be of Primer or of your own packages."""

MAX_DEPTH, MAX_VALUES = 12, 100_000
"""Limits of the settings in a checkpoint."""


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
