"""The settings of a run that cannot change when it is resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

TOP_LEVEL = ("seed", "monitor", "mode", "weights")
GROUPS = ("model", "data", "objective", "optimizer", "scheduler", "transfer")
REGULARIZATION = ("l2", "ema")

CHANGEABLE = {
    "data": ("data_dir", "batch_size", "eval_batch_size"),
    "model": ("dropout", "stochastic_depth", "stem"),  # The weights that a run starts from may set the stem.
    "objective": ("label_smoothing",),
}
"""Settings of these groups that may change. Those of the model and the objective are regularization."""


PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
"""Characters of a string that needs no quotes in an override."""

RESERVED = ("null", "true", "false", "nan", "inf")


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Yields the differences between two resolved configs in settings that cannot change when a run is resumed, such as
    ``optimizer.lr=0.1 (was 0.2)``."""
    old, new = fixed_settings(recorded), fixed_settings(current)
    replaced = [f"{group}." for group in GROUPS if old.get(f"{group}._target_") != new.get(f"{group}._target_")]
    for name in dict.fromkeys([*old, *new]):
        if name.startswith(tuple(replaced)) and not name.endswith("._target_"):
            continue  # The settings of another class differ anyway.
        if name not in new:
            yield f"{name} (was {override_value(old[name])})"
        elif name not in old or old[name] != new[name]:
            yield f"{name}={override_value(new[name])} (was {override_value(old[name]) if name in old else 'not set'})"


def fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a resolved config that cannot change when a run is resumed, by dotted path."""
    settings = {name: config.get(name) for name in TOP_LEVEL}
    for group in GROUPS:
        if group == "transfer" and config.get("weights") is None:
            continue
        skipped = CHANGEABLE.get(group, ())
        settings |= {f"{group}.{key}": value for key, value in _node(config, group).items() if key not in skipped}
    regularization = _node(config, "regularization")
    return settings | {f"regularization.{name}": regularization.get(name) for name in REGULARIZATION}


def override_value(value: Any) -> str:
    """Returns a value in the syntax of an override: ``[64,64]``, ``null``, ``a.b``, ``'two words'``."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(override_value, value)) + "]"
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else json.dumps(value)
    if value and not set(value) - PLAIN and value[0].isalpha() and value.lower() not in RESERVED:
        return value
    # Backslashes are literal, except before a quote and at the end.
    escaped = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), value)
    escaped = escaped.replace("${", "\\${")
    return f"'{escaped}'"


def _node(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    node = config.get(name)
    return node if isinstance(node, Mapping) else {}
