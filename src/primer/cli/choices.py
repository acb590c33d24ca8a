"""The choices of each config group, and which models fit which data, without importing torch."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from primer.cli.signatures import describe, names_in
from primer.config.instantiate import targets
from primer.config.paths import CONFIGS


@cache
def groups() -> dict[str, list[str]]:
    """Every config group with its choices, in the order of the alphabet. A name that starts with an underscore is a
    part of other choices, not a choice."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONFIGS.rglob("*.yaml")):
        group = file.parent.relative_to(CONFIGS).as_posix()
        if group != "." and not file.name.startswith("_"):
            found.setdefault(group, []).append(file.stem)
    return found


@cache
def target_of(group: str, choice: str) -> str | None:
    """Returns the top-level ``_target_`` in the file of a choice, or else in the choices that its defaults list."""
    from omegaconf import OmegaConf

    file = CONFIGS / group / f"{choice}.yaml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if match := re.search(r"^_target_:\s*(\S+)", text, re.MULTILINE):
        return match.group(1)
    defaults: Any = OmegaConf.create(text).get("defaults", [])
    inherited = (target_of(group, base) for base in reversed(defaults) if isinstance(base, str))
    return next((target for target in inherited if target), None)


def targets_of(group: str, choice: str) -> list[str]:
    """Every ``_target_`` that a choice's file names at any depth, and those of the choices that it starts from."""
    from omegaconf import OmegaConf

    file = CONFIGS / group / f"{choice}.yaml"
    if not file.is_file():
        return []
    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    names = [name for name in content.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return [*targets(content), *(target for name in names for target in targets_of(group, name))]


def types_of(target: str | None, side: str) -> list[str]:
    """The names of the types that a class states as its ``inputs`` or ``targets``; empty where it states none."""
    description = describe(target) if target else None
    annotation = description.attributes.get(side) if description else None
    return names_in(annotation) if annotation else []


def is_compatible(model: str | None, data: str | None) -> bool:
    """Whether a model takes what a data set offers, by their targets."""
    return all(
        set(types_of(model, side)) & set(types_of(data, side)) or not types_of(model, side)
        for side in ("inputs", "targets")
    )


def not_selected_message(path: str, group: str, choice: str) -> str:
    """What is wrong with a setting of something that was not chosen, in a group that takes several."""
    return f"{path}: {choice} is not chosen; {group}={choice} chooses it, and {group}=[{choice},...] it and others"
