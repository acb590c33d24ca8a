"""What a command line composes, and, where that is nothing, why."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from primer.cli.choices import groups, not_selected_message
from primer.config.paths import CONFIGS
from primer.errors import InputError, suggest

FAILURES = (HydraException, OmegaConfBaseException, YAMLError, ValueError)
"""What composing a config may raise."""


def parse(text: str) -> Override:
    """One override. Raises ``InputError`` where it cannot be read."""
    override = _parsed(text)
    if override is None or not override.key_or_group:
        key, _, value = text.partition("=")
        quoted = f"{key}='{value}'"
        hint = "an override looks like model=lstm or optimizer.lr=0.01"
        if value and not set(value) & {"'", "[", "{"} and (found := _parsed(quoted)) and found.key_or_group:
            hint = f'such a value is quoted twice, "{quoted}"'
        raise InputError(f"{text!r} cannot be read: {hint}")
    return override


def _parsed(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def jobs(overrides: list[Override]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep over lists of choices. Intervals and the like stand at their first value."""
    values = []
    for override in overrides:
        line = override.input_line or ""
        if override.is_sweep_override() and not override.is_discrete_sweep():
            continue
        if override.is_sweep_override():
            key, value = line[: line.index("=")], override.value()
            if isinstance(value, Glob):
                files = (CONFIGS / override.key_or_group).glob("*.yaml")
                choices: Iterable[str] = value.filter(sorted(file.stem for file in files))
            else:
                choices = override.sweep_string_iterator()
            values.append([f"{key}={choice}" for choice in choices])
        elif not override.is_hydra_override():
            values.append([line])
    for combination in itertools.product(*values):
        yield list(combination)


def compose_checked(name: str, overrides: list[str]) -> DictConfig:
    """The config that overrides make, with Hydra's own part. Raises ``InputError`` where they make none."""
    try:
        return compose_raw(name, overrides)
    except FAILURES as error:
        raise InputError(diagnose_overrides(name, overrides, error)) from error


def compose_resolved(name: str, overrides: list[str], folder: str) -> dict[str, Any]:
    """The config of a command as plain containers, without Hydra's own part and with a run folder: to build the parts
    of a run without running it."""
    cfg = compose_checked(name, overrides)
    OmegaConf.update(cfg, "paths.output_dir", folder)
    OmegaConf.update(cfg, "hydra", None)
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def compose_raw(name: str, overrides: list[str]) -> DictConfig:
    """What Hydra makes of overrides. Raises one of ``FAILURES`` where that is nothing."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(name, overrides, return_hydra_config=True)


def diagnose_overrides(name: str, overrides: list[str], error: Exception) -> str:
    """Why overrides make no config, in one line."""
    try:
        parsed = [parse(text) for text in overrides]
    except InputError as unreadable:
        return str(unreadable)
    known, good = groups(), []
    for override in parsed:
        key = override.key_or_group
        if key in known and override.type is not OverrideType.DEL:
            value = override.value()
            for choice in value if isinstance(value, list) else [value]:
                if str(choice) not in known[key] and not (CONFIGS / key / f"{choice}.yaml").is_file():
                    shown = "null" if choice is None else choice
                    return f"{key}={shown}: there is no such {key.split('/')[-1]}; {suggest(str(shown), known[key])}"
            good.append(override.input_line or "")
        elif "/" in key and not override.is_hydra_override():
            return f"{key}: there is no such group; {suggest(key, known)}"
    try:
        config = compose_raw(name, good)
    except FAILURES:
        try:
            config = compose_raw(name, [])
        except FAILURES as failure:
            return diagnose_local(name, failure)
    for override in parsed:
        if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) or "/" in override.key_or_group:
            continue
        if override.key_or_group in known:
            taken = [str(group) for group in config.hydra.runtime.choices if "hydra" not in str(group)]
            if override.key_or_group not in taken and not isinstance(override.value(), list):  # Hydra leaves lists out.
                return f"{override.key_or_group}: {name} takes no such group; {suggest(override.key_or_group, taken)}"
            continue
        if trouble := missing(config, override.key_or_group):
            return trouble
    return in_one_line(error)


def diagnose_local(name: str, error: Exception) -> str:
    """Why not even the command alone makes a config, in one line."""
    try:
        compose_raw(name, ["~local"])
    except FAILURES:
        return in_one_line(error)
    told = in_one_line(error).rstrip(".")
    return f"configs/local/default.yaml, which both commands read: {told}; '~local' leaves it out"


def in_one_line(error: BaseException) -> str:
    """What an error says. One of Hydra's may be empty, and its cause say all."""
    return " ".join((str(error) or str(error.__cause__ or type(error).__name__)).split())


def missing(config: DictConfig, path: str) -> str | None:
    """What is wrong with a dotted path, where it leads nowhere in the config."""
    node, place = config, ""
    for part in path.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            valid = [str(key) for key in node] if isinstance(node, DictConfig) else []
            valid = sorted({*valid, *(group for group in groups() if "/" not in group)}) if not place else valid
            group = place.replace(".", "/")
            if part in groups().get(group, []) and "_target_" not in valid:
                return not_selected_message(path, group, part)
            where = f"in {place}" if place else "at the top"
            return f"{path}: there is no {part} {where}; {suggest(part, [v for v in valid if not v.startswith('_')])}"
        node, place = node._get_node(part), f"{place}.{part}" if place else part  # type: ignore[assignment]
    return None
