"""Lists the choices of each config group, and decides which models accept which data, without importing torch."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from primer.cli.signatures import read_signature, type_names
from primer.config.instantiate import targets
from primer.config.paths import CONFIGS


@cache
def groups() -> dict[str, list[str]]:
    """Returns the choices of every config group, sorted. Files that start with an underscore are shared parts of other
    choices, not choices. Groups of Hydra's own plugins, such as ``hydra/sweeper``, are left out."""
    choices: dict[str, list[str]] = {}
    for file in sorted(CONFIGS.rglob("*.yaml")):
        group = file.parent.relative_to(CONFIGS).as_posix()
        if group != "." and not group.startswith("hydra/") and not file.name.startswith("_"):
            choices.setdefault(group, []).append(file.stem)
    return choices


@cache
def target_of(group: str, choice: str) -> str | None:
    """Returns the top-level ``_target_`` in the file of a choice, or else in the choices that its defaults list."""
    from omegaconf import OmegaConf

    file = CONFIGS / group / f"{choice}.yaml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if match := re.search(r"^_target_:\s*(\S+)", text, re.MULTILINE):
        return match.group(1)
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    defaults = content.get("defaults", []) if isinstance(content, dict) else []
    inherited = (target_of(group, base) for base in reversed(defaults) if isinstance(base, str))
    return next((target for target in inherited if target), None)


@cache
def targets_of(group: str, choice: str) -> tuple[str, ...]:
    """Returns every ``_target_`` in the file of a choice, at any depth, and in the choices that its defaults list."""
    from omegaconf import OmegaConf

    file = CONFIGS / group / f"{choice}.yaml"
    if not file.is_file():
        return ()
    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    names = [name for name in content.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    return (*targets(content), *(target for name in names for target in targets_of(group, name)))


def types_of(target: str | None, side: str) -> list[str]:
    """Returns the type names that a class declares in its attribute ``inputs`` or ``targets``, empty if it has none."""
    signature = read_signature(target) if target else None
    annotation = signature.attributes.get(side) if signature else None
    return type_names(annotation) if annotation else []


def is_compatible(model: str | None, data: str | None) -> bool:
    """Whether a model accepts the input and target types of a data set, both given as targets. A model without targets
    ignores those of the data."""
    if types_of(model, "targets") == ["NoTarget"]:
        return not types_of(model, "inputs") or bool(set(types_of(model, "inputs")) & set(types_of(data, "inputs")))
    return all(
        set(types_of(model, side)) & set(types_of(data, side)) or not types_of(model, side)
        for side in ("inputs", "targets")
    )


def not_selected_message(path: str, group: str, choice: str) -> str:
    """Returns the error message for a setting of an unselected choice, in a group that allows several choices."""
    return f"{path}: {choice} is not selected; select it with {group}={choice}, or several with {group}=[{choice},...]"
