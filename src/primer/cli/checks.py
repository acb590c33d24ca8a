"""Looks through a command before any work: names, types of values, and whether the model fits the data.

All of it comes from the YAML files and the sources, so a mistake is told without importing torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from primer.cli.choices import groups, is_compatible, not_selected_message, target_of, targets_of, types_of
from primer.cli.composition import compose_checked, in_one_line, jobs, parse
from primer.cli.signatures import Description, describe, mismatch
from primer.config.paths import PACKAGES
from primer.errors import InputError, suggest

COMPANIONS = {
    "scheduler": "primer.optim.Schedule",
    "trainer": "primer.cli.settings.Speed",
    "accelerator": "lightning.Trainer",
}
"""Nodes that hold settings of a second class beside those of their target, or of a class that they do not name."""

FILLED_IN = {"scheduler.T_max", "scheduler.total_steps"}
"""What the length of the run stands in for where it is null, whatever its class says."""

WATCHED = ("monitor", "mode")
"""Settings of schedulers and callbacks that null leaves to the run."""

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
        check_config(compose_checked(name, job), name)


def check_config(config: DictConfig, name: str) -> None:
    """Looks through a composed config. Raises ``InputError`` for the first mistake."""
    choices = {str(key): value for key, value in config.hydra.runtime.choices.items()}
    tops = {command: describe(f"primer.cli.settings.{command.capitalize()}") for command in ("train", "evaluate")}
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
        if key == "local" and key not in typed:
            raise InputError("configs/local/default.yaml has no effect: its first line must be '# @package _global_'")
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
            raise InputError(f"{key}: there is no {key} at the top; {suggest(str(key), valid)}")
    if name == "train":
        for needed in ("model", "data", "optimizer", "objective", "trainer", "accelerator"):
            if not config.get(needed) or (needed != "accelerator" and "_target_" not in config[needed]):
                raise InputError(f"{needed} is needed; {suggest('', groups()[needed])}")
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
            filled_in = value is None and (place in FILLED_IN or key in WATCHED)
            if filled_in or (isinstance(value, Mapping) and "_target_" in value):
                return
            if wanted := mismatch(value, description.parameters[key]):
                raise InputError(f"{place} must be {wanted}, not {value!r}")
            return
    if any(description.open for description in descriptions):
        return
    valid = [name for description in descriptions for name in description.parameters]
    raise InputError(f"{place}: {descriptions[-1].name.split('.')[-1]} has no {key}; {suggest(key, valid)}")


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
            raise InputError(not_selected_message(".".join(path), AUGMENTATION, path[2]))
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
        if is_compatible(target, data):
            continue
        side = next(
            s
            for s in ("inputs", "targets")
            if types_of(target, s) and not set(types_of(target, s)) & set(types_of(data, s))
        )
        good = [choice for choice in groups()["data"] if is_compatible(target, target_of("data", choice))]
        hint = f"data that fit: {', '.join(good) or 'none'}"
        if group != "model":
            good = [
                choice
                for choice in groups()[group]
                if all(is_compatible(one, data) for one in targets_of(group, choice))
            ]
            hint += f"; for {named}: {group}={', '.join(good)}"
        raise InputError(
            f"{group}={choices.get(group) or target} does not fit data={named}: {what} takes {side} of type "
            f"{' or '.join(types_of(target, side))}, and {named} has {' or '.join(types_of(data, side))}; "
            f"{hint}"
        )
