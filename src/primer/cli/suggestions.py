"""Names the right key or choice for one that does not exist: misspelled, in another group, or of another tool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from primer.cli.choices import groups, not_selected_message
from primer.cli.habits import choice_known_as, known_as
from primer.errors import closest, suggest

NOT_SEARCHED = ("hydra", "paths", "local")
"""Nodes and groups that are not searched for a name: nobody means them by accident."""


def explain_missing_key(config: DictConfig, path: str, value: str = "") -> str | None:
    """Explains in one line why a dotted path does not exist in a config, and names the closest one that does.

    Args:
        config: the composed config.
        path: the dotted path.
        value: the value that was typed, which is repeated in the hint.

    Returns:
        The message; None if the path exists.
    """
    node, prefix = config, ""
    for part in path.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            valid = [str(key) for key in node] if isinstance(node, DictConfig) else []
            valid = sorted({*valid, *(group for group in groups() if "/" not in group)}) if not prefix else valid
            valid = [name for name in valid if not name.startswith("_")]
            is_set = isinstance(node, DictConfig) and "_target_" in node
            if part in groups().get(prefix.replace(".", "/"), []) and not is_set:
                return not_selected_message(path, prefix.replace(".", "/"), part)
            where = f"in {prefix}" if prefix else "at the top level"
            hint = suggest_key(config, path, part, valid, value)
            return f"{path}: there is no {part} {where}; {hint}"
        node, prefix = node._get_node(part), f"{prefix}.{part}" if prefix else part  # type: ignore[assignment]
    return None


def suggest_key(config: DictConfig, path: str, part: str, valid: list[str], value: str = "") -> str:
    """Returns a hint for a key that does not exist.

    Args:
        config: the composed config.
        path: the dotted path that was typed.
        part: the part of it that does not exist.
        valid: the valid names in its place.
        value: the value that was typed.
    """
    last = path.split(".")[-1]
    nearby = closest(part, valid)
    habits = [text for text in known_as(last) if text.split("=")[0].replace("/", ".").split(".")[0] in config]
    leaves = {found: found.split(".")[-1] for found in _paths(config) if not f"{found}.".startswith(f"{path}.")}
    elsewhere = [] if habits else [found for found, leaf in leaves.items() if leaf.lower() == last.lower()]
    if not nearby and not habits and not elsewhere:
        similar = closest(last, list(leaves.values()), cutoff=0.8)
        elsewhere = [found for found, leaf in leaves.items() if leaf == similar]
    if (habits or elsewhere) and not (nearby and (nearby.lower() == part.lower() or "." in path)):
        return f"did you mean {' or '.join(_filled(text, value) for text in (habits or elsewhere)[:3])}?"
    return suggest(part, valid)


def correct(config: DictConfig, path: str, value: str) -> str:
    """Returns the override that sets ``path``, or what it is called here, to a value."""
    message = explain_missing_key(config, path, value)
    if message is None:
        return _filled(path, value or "…")
    found = re.search(r"did you mean (.+?)\?", message)
    return found.group(1) if found else "optimizer.lr=0.01"


def explain_missing_choice(group: str, choice: Any) -> str:
    """Explains in one line that a group does not have a choice, and names the closest one, in another group if need
    be."""
    known, shown = groups(), "null" if choice is None else str(choice)
    elsewhere = [
        f"{other}={shown}"
        for other, choices in known.items()
        if shown.lower() in choices and other not in NOT_SEARCHED
    ]  # fmt: skip
    ours = choice_known_as(group, shown)
    if ours in known[group]:
        elsewhere = [ours]
    elif not elsewhere and not closest(shown, known[group]):
        elsewhere = [_filled(text, "…") for text in known_as(shown)]
    hint = suggest(shown, known[group])
    if elsewhere and shown.lower() not in known[group]:
        hint = f"did you mean {' or '.join(elsewhere[:3])}? valid: {', '.join(known[group])}"
    return f"{group}={shown}: there is no such {group.split('/')[-1]}; {hint}"


def _filled(text: str, value: str) -> str:
    """Returns the override that a text of ``habits.KEYS`` stands for, with the value that was typed."""
    if "=" in text:
        return text.format(value=value or "…")
    choices = groups().get(text)
    if choices is None or not value:
        return f"{text}={value}" if value else text
    names = value.strip("[]").split(",")
    ours = [name if name in choices else choice_known_as(text, name) or closest(name, choices) for name in names]
    if None in ours:
        return f"{text}=… (one of {', '.join(choices)})"
    return f"{text}={ours[0]}" if len(ours) == 1 else f"{text}=[{','.join(map(str, ours))}]"


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yields the dotted path of every setting, those closest to the top first."""
    nested = []
    for key in node:
        if not str(key).startswith("_") and (prefix or key not in NOT_SEARCHED):
            yield f"{prefix}{key}"
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
                nested.append((child, f"{prefix}{key}."))
    for child, start in nested:
        yield from _paths(child, start)
