"""Looks through a command before any work: names, types of values, and whether the model fits the data.

All of it comes from the YAML files and the sources, so a mistake is told without importing torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from primer.choices import fits, groups, nearest, target_of, targets_of, types_of, unchosen
from primer.config import CONFIGS, PACKAGES
from primer.errors import InputError
from primer.signatures import Description, describe, mismatch

COMPANIONS = {
    "scheduler": "primer.optim.Schedule",
    "trainer": "primer.settings.Speed",
    "accelerator": "lightning.Trainer",
}
"""Nodes that hold settings of a second class beside those of their target, or of a class that they do not name."""

FILLED_IN = {"scheduler.T_max", "scheduler.total_steps"}
"""What the length of the run stands in for where it is null, whatever its class says."""

FAILURES = (HydraException, OmegaConfBaseException, YAMLError, ValueError)
"""What composing a config may raise."""

AUGMENTATION = "regularization/augmentation"
"""The group whose choices are steps, of which there may be several."""

LARGEST_SWEEP = 100
"""Jobs of a sweep that are looked at before the first one starts; each takes a tenth of a second."""


def check_command(name: str, overrides: list[str], multirun: bool = False) -> None:
    """Looks through each job that a command line asks for.

    Args:
        name: of the primary config, ``train`` or ``evaluate``.
        overrides: as typed.
        multirun: whether they may hold several values each.

    Raises:
        InputError: for the first mistake.
    """
    parsed = [parse(text) for text in overrides]
    for override in parsed:
        if override.is_sweep_override() and not multirun:
            raise InputError(f"{override.input_line}: several values make a sweep, which needs -m")
    for job in itertools.islice(jobs(parsed) if multirun else [overrides], LARGEST_SWEEP):
        check_config(composed(name, job), name)


def parse(text: str) -> Override:
    """One override. Raises ``InputError`` where it cannot be read."""
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        override = None
    if override is None or not override.key_or_group:
        raise InputError(f"{text!r} cannot be read: an override looks like model=lstm or optimizer.lr=0.01")
    return override


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


def composed(name: str, overrides: list[str]) -> DictConfig:
    """The config that overrides make, with Hydra's own part. Raises ``InputError`` where they make none."""
    try:
        return made(name, overrides)
    except FAILURES as error:
        raise InputError(explain(name, overrides, error)) from error


def made(name: str, overrides: list[str]) -> DictConfig:
    """What Hydra makes of overrides. Raises one of ``FAILURES`` where that is nothing."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(name, overrides, return_hydra_config=True)


def explain(name: str, overrides: list[str], error: Exception) -> str:
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
                if str(choice) not in known[key]:
                    shown = "null" if choice is None else choice
                    return f"{key}={shown}: there is no such {key.split('/')[-1]}; {nearest(str(shown), known[key])}"
            good.append(override.input_line or "")
        elif "/" in key and not override.is_hydra_override():
            return f"{key}: there is no such group; {nearest(key, known)}"
    try:
        config = made(name, good)
    except FAILURES:
        try:
            config = made(name, [])
        except FAILURES as failure:
            return explain_local(name, failure)
    for override in parsed:
        if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) or "/" in override.key_or_group:
            continue
        if override.key_or_group in known:
            taken = [str(group) for group in config.hydra.runtime.choices if "hydra" not in str(group)]
            if override.key_or_group not in taken and not isinstance(override.value(), list):  # Hydra leaves lists out.
                return f"{override.key_or_group}: {name} takes no such group; {nearest(override.key_or_group, taken)}"
            continue
        if trouble := missing(config, override.key_or_group):
            return trouble
    return in_one_line(error)


def explain_local(name: str, error: Exception) -> str:
    """Why not even the command alone makes a config, in one line."""
    try:
        made(name, ["~local"])
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
                return unchosen(path, group, part)
            where = f"in {place}" if place else "at the top"
            return f"{path}: there is no {part} {where}; {nearest(part, [v for v in valid if not v.startswith('_')])}"
        node, place = node._get_node(part), f"{place}.{part}" if place else part  # type: ignore[assignment]
    return None


def check_config(config: DictConfig, name: str) -> None:
    """Looks through a composed config. Raises ``InputError`` for the first mistake."""
    choices = {str(key): value for key, value in config.hydra.runtime.choices.items()}
    tops = {command: describe(f"primer.settings.{command.capitalize()}") for command in ("train", "evaluate")}
    top = tops[name]
    assert top is not None
    config.paths.output_dir = "the run folder"  # Known only once the job runs.
    lines: Any = OmegaConf.to_container(config.hydra.overrides.task)
    typed = {parse(line).key_or_group.split(".")[0] for line in lines}
    some = {*groups(), *(key for one in tops.values() if one for key in one.parameters)}
    others = some - {*top.parameters, *choices, *typed}
    for key in config:
        if key == "hydra" or key in others:  # What configs/local says may be for the other command alone.
            continue
        try:
            value = OmegaConf.select(config, str(key))
            plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            raise InputError(f"{key}: {in_one_line(error)}") from error
        if key in top.parameters:
            if wanted := mismatch(plain, top.parameters[str(key)]):
                raise InputError(f"{key} must be {wanted}, not {plain!r}")
            check_node(plain, str(key))
        elif key in groups():
            check_node(plain, str(key))
        else:
            valid = [*top.parameters, *(group for group in groups() if "/" not in group)]
            raise InputError(f"{key}: there is no {key} at the top; {nearest(str(key), valid)}")
    if name == "train":
        for needed in ("model", "data", "optimizer", "objective", "trainer", "accelerator"):
            if not config.get(needed):
                raise InputError(f"{needed} is needed; {nearest('', groups()[needed])}")
        if config.weights is None and choices.get("transfer") not in (None, "finetune"):
            raise InputError(
                f"transfer={choices['transfer']} needs weights=imagenet, a run folder or a file to start from"
            )
        check_fit(config, choices)


def check_node(node: Any, path: str) -> None:
    """Holds a node, and all within it, against the signature of its target."""
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    description = describe(target) if isinstance(target, str) else None
    if target is not None and (not isinstance(target, str) or target.split(".")[0] not in PACKAGES):
        raise InputError(f"{path}._target_: {target!r} is refused: it must lie in one of {', '.join(PACKAGES)}")
    if description is None and str(target).startswith("primer."):
        raise InputError(f"{path}._target_: there is no {target}")
    companion = describe(COMPANIONS[path]) if path in COMPANIONS else None
    for key, value in node.items():
        place = f"{path}.{key}"
        if str(key).startswith("_"):
            continue
        if value == "???":
            raise InputError(f"{place} is needed: set it with {place}=…")
        if description or companion:
            check_value(place, key, value, [one for one in (companion, description) if one])
        check_node(value, place)


def check_value(place: str, key: str, value: Any, descriptions: list[Description]) -> None:
    """Holds one setting against the signatures that may know it."""
    for description in descriptions:
        if key in description.parameters:
            if (isinstance(value, Mapping) and "_target_" in value) or (value is None and place in FILLED_IN):
                return
            if wanted := mismatch(value, description.parameters[key]):
                raise InputError(f"{place} must be {wanted}, not {value!r}")
            return
    if any(description.open for description in descriptions):
        return
    valid = [name for description in descriptions for name in description.parameters]
    raise InputError(f"{place}: {descriptions[-1].name.split('.')[-1]} has no {key}; {nearest(key, valid)}")


def steps(config: DictConfig) -> dict[str, Any]:
    """The target of each step of the augmentation, by its name.

    Raises:
        InputError: where something was typed for a step that was not chosen; an experiment may have such settings.
    """
    nodes = OmegaConf.select(config, "regularization.augmentation") or {}
    chosen = {str(name): node.get("_target_") for name, node in nodes.items() if isinstance(node, DictConfig)}
    for line in OmegaConf.select(config, "hydra.overrides.task") or []:
        path = parse(line).key_or_group.split(".")
        if path[:2] == AUGMENTATION.split("/") and len(path) > 3 and chosen.get(path[2]) is None:
            raise InputError(unchosen(".".join(path), AUGMENTATION, path[2]))
    return {name: target for name, target in chosen.items() if target is not None}


def check_fit(config: DictConfig, choices: dict[str, Any]) -> None:
    """Refuses a model, an objective or an augmentation that does not suit the data."""
    data = config.data.get("_target_")
    named = choices.get("data") or data
    some = steps(config)
    parts = [("model", "it", config.model.get("_target_")), ("objective", "it", config.objective.get("_target_"))]
    parts += [(AUGMENTATION, name, target) for name, target in some.items()]
    choices = {AUGMENTATION: f"[{','.join(some)}]", **choices}  # Hydra names no choice where a list was chosen.
    for group, what, target in parts:
        if fits(target, data):
            continue
        side = next(
            s
            for s in ("inputs", "targets")
            if types_of(target, s) and not set(types_of(target, s)) & set(types_of(data, s))
        )
        good = [choice for choice in groups()["data"] if fits(target, target_of("data", choice))]
        hint = f"data that fit: {', '.join(good) or 'none'}"
        if group != "model":
            good = [choice for choice in groups()[group] if all(fits(one, data) for one in targets_of(group, choice))]
            hint += f"; for {named}: {group}={', '.join(good)}"
        raise InputError(
            f"{group}={choices.get(group) or target} does not fit data={named}: {what} takes {side} of type "
            f"{' or '.join(types_of(target, side))}, and {named} has {' or '.join(types_of(data, side))}; "
            f"{hint}"
        )
