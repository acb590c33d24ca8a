"""Composes configs from overrides and explains failures in one line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from primer.cli import default_model
from primer.cli.choices import groups
from primer.cli.suggestions import explain_missing_choice, explain_missing_key
from primer.config.paths import CONFIGS
from primer.errors import InputError, suggest

default_model.install()

COMPOSE_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, AttributeError)
"""The exceptions that composing a config may raise."""

NO_CHOICE = r"Could not find '(?P<name>hydra/.+)'.+Available options in '.+':(?P<choices>.+)Config search path:"
"""In Hydra's message about a choice that does not exist in one of its own groups."""


def parse_override(text: str) -> Override:
    """Parses one override. Raises ``InputError`` if its syntax is invalid."""
    override = _try_parse(text)
    if override is None or not override.key_or_group:
        key, _, value = text.partition("=")
        quoted = f"{key}='{value}'"
        hint = "an override looks like model=lstm or optimizer.lr=0.01"
        unquoted = value and not set(value) & {"'", "[", "{"}
        if unquoted and (repaired := _try_parse(quoted)) and repaired.key_or_group:
            hint = f'quote such a value twice, "{quoted}"'
        raise InputError(f"{text!r} cannot be parsed: {hint}")
    return override


def _try_parse(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def expand_sweep(overrides: list[Override]) -> Iterator[list[str]]:
    """Yields the overrides of each job of a sweep.

    Only lists of choices and globs are expanded. Intervals, which only a sweeper can sample, are left out.
    """
    axes = []
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
            axes.append([f"{key}={choice}" for choice in choices])
        elif not override.is_hydra_override():
            axes.append([line])
    for combination in itertools.product(*axes):
        yield list(combination)


def compose_checked(name: str, overrides: list[str]) -> DictConfig:
    """Composes a config, including its ``hydra`` node. Raises ``InputError`` with an explanation if that fails."""
    try:
        return compose_raw(name, overrides)
    except COMPOSE_ERRORS as error:
        raise InputError(diagnose_overrides(name, overrides, error)) from error


def compose_resolved(name: str, overrides: list[str], folder: str) -> dict[str, Any]:
    """Composes a config and resolves it to plain containers, without its ``hydra`` node and with ``folder`` as the run
    folder. Use it to build the parts of a run without running it."""
    cfg = compose_checked(name, overrides)
    OmegaConf.update(cfg, "paths.output_dir", folder)
    OmegaConf.update(cfg, "hydra", None)
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def compose_raw(name: str, overrides: list[str]) -> DictConfig:
    """Composes a config with Hydra. Raises one of ``COMPOSE_ERRORS`` if that fails."""
    with initialize_config_dir(str(CONFIGS)):
        return compose(name, overrides, return_hydra_config=True)


def diagnose_overrides(name: str, overrides: list[str], error: Exception) -> str:
    """Explains in one line why overrides do not compose; falls back to the message of ``error``."""
    try:
        parsed = [parse_override(text) for text in overrides]
    except InputError as syntax_error:
        return str(syntax_error)
    known, valid_choices = groups(), []
    for override in parsed:
        key = override.key_or_group
        if override.is_sweep_override():  # Each job has been checked on its own.
            continue
        if key in known and override.type is not OverrideType.DEL:
            value = override.value()
            for choice in value if isinstance(value, list) else [value]:
                if str(choice) not in known[key] and not _has_file(key, choice, parsed):
                    return explain_missing_choice(key, choice)
            valid_choices.append(override.input_line or "")
        elif key == "hydra.searchpath":
            valid_choices.append(override.input_line or "")
        elif "/" in key and not override.is_hydra_override():
            return f"{key}: there is no such group; {suggest(key, known)}"
    try:
        config = compose_raw(name, valid_choices)
    except COMPOSE_ERRORS:
        try:
            config = compose_raw(name, [])
        except COMPOSE_ERRORS as failure:
            return diagnose_local(name, failure)
    for override in parsed:
        if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) or "/" in override.key_or_group:
            continue
        if override.is_sweep_override():
            continue
        if override.key_or_group in known:
            used = [str(group) for group in config.hydra.runtime.choices if "hydra" not in str(group)]
            # Hydra does not record groups whose choice is a list.
            if override.key_or_group not in used and not isinstance(override.value(), list):
                return (
                    f"{override.key_or_group}: {name} does not use this group; {suggest(override.key_or_group, used)}"
                )
            continue
        value = (override.input_line or "").partition("=")[2]
        if problem := explain_missing_key(config, override.key_or_group, value):
            return problem
    return one_line(error)


def _has_file(group: str, choice: Any, overrides: list[Override]) -> bool:
    """Whether a choice is a file, which may be a shared part or be in a folder that ``hydra.searchpath`` names."""
    searched: list[Any] = [one.value() for one in overrides if one.key_or_group == "hydra.searchpath"]
    folders = [Path(str(folder).removeprefix("file://")) for value in searched for folder in value]
    return any((folder / group / f"{choice}.yaml").is_file() for folder in (CONFIGS, *folders))


def diagnose_local(name: str, error: Exception) -> str:
    """Explains in one line why a command does not compose even without overrides."""
    try:
        compose_raw(name, ["~local"])
    except COMPOSE_ERRORS:
        return one_line(error)
    reason = one_line(error).rstrip(".")
    return f"configs/local/default.yaml, which both commands read: {reason}; '~local' leaves it out"


def one_line(error: BaseException) -> str:
    """Returns the message of an error on one line. Some Hydra errors are empty; their cause has the message."""
    if missing := re.search(NO_CHOICE, str(error), re.DOTALL):
        group, choice = missing["name"].rsplit("/", 1)
        return (
            f"{group}={choice}: there is no such {group.split('/')[-1]}; {suggest(choice, missing['choices'].split())}"
        )
    message = " ".join((str(error) or str(error.__cause__ or type(error).__name__)).split())
    return f"a node has the wrong type: {message}" if isinstance(error, AttributeError) else message
