"""Checks a command before any work is done: names, types of values, and whether the model accepts the data.

All checks use the YAML files and the source code only, so mistakes are reported without importing torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from primer.cli.choices import groups, is_compatible, not_selected_message, target_of, targets_of, types_of
from primer.cli.composition import compose_checked, expand_sweep, one_line, parse_override
from primer.cli.signatures import Signature, mismatch, read_signature
from primer.cli.suggestions import suggest_key
from primer.config import paths
from primer.config.ranges import check_ranges
from primer.config.types import shorten
from primer.errors import InputError, suggest
from primer.records.table_writer import check_format

EXTRA_SETTINGS = {
    "scheduler": "primer.optim.Schedule",
    "trainer": "primer.cli.settings.TrainerExtras",
    "model": "primer.cli.settings.ModelExtras",
    "accelerator": "lightning.Trainer",
    "sweep": "primer.cli.settings.Sweep",
}
"""Nodes with settings of a class other than their ``_target_``, in addition to those of the target if they have one."""

NULL_ALLOWED = {"scheduler.T_max", "scheduler.total_steps"}
"""Settings that may be null although their class does not allow it: null is replaced by the length of the run."""

WATCHED = ("monitor", "mode")
"""Settings of schedulers and callbacks that null leaves to the run."""

AUGMENTATION = "regularization/augmentation"
"""The group whose choices are augmentation steps. Several may be selected."""

BUILT = ("model", "data", "optimizer", "objective", "trainer")
"""Groups whose config describes one object."""

REQUIRED = (*BUILT, "scheduler", "regularization", "accelerator", "paths")
"""Groups that a run cannot do without."""

OPTIONAL = ("callbacks", "logger")
"""Groups whose settings describe any number of objects, by name."""

PLUGINS = (
    "launchers.basic.Basic", "launchers.joblib.Joblib", "launchers.submitit.SubmititLocal",
    "launchers.submitit.SubmititSlurm", "launchers.ray.Ray", "launchers.vmap.Vmap", "optuna_sweeper.OptunaSweeper",
)  # fmt: skip
"""The launchers and the sweeper of this project, in ``primer.cli``."""

HYDRA_PACKAGES = ("hydra.", "hydra_plugins.", "optuna.samplers.", "optuna.pruners.")
"""Packages with classes that Hydra's own settings may name."""

MAX_CHECKED_JOBS = 100
"""The number of jobs of a sweep that are checked before the first one starts, at about 0.1 seconds each."""


def check_command(name: str, overrides: list[str], multirun: bool = False, config_name: str | None = None) -> None:
    """Checks a command line. In a sweep, every job must compose, and at least one must have no mistake: those that have
    are rejected when it is their turn.

    Args:
        name: the command, ``train``, ``evaluate`` or ``predict``.
        overrides: the overrides as typed.
        multirun: whether an override may have several values.
        config_name: the primary config if it is not that of the command.

    Raises:
        InputError: for the first mistake.
    """
    parsed = [parse_override(text) for text in overrides]
    if multirun and name == "predict":
        raise InputError("predict.py does not support -m: it writes one file")
    for override in parsed:
        if override.is_sweep_override() and not multirun:
            raise InputError(f"{override.input_line}: several values make a sweep, which requires -m")
    mistakes: list[InputError | None] = []
    for job in itertools.islice(expand_sweep(parsed) if multirun else [overrides], MAX_CHECKED_JOBS):
        config = compose_checked(config_name or name, job)
        if not multirun and config.hydra.sweeper.get("params"):
            raise InputError(f"sweep={config.hydra.runtime.choices.get('sweep')} makes a sweep, which requires -m")
        try:
            check_config(config, name)
            mistakes.append(None)
        except InputError as error:
            mistakes.append(error)
    if mistakes and all(mistakes):
        raise mistakes[0]  # type: ignore[misc]


def check_config(config: DictConfig, name: str) -> None:
    """Checks a composed config. Raises ``InputError`` for the first mistake."""
    choices = {str(key): value for key, value in config.hydra.runtime.choices.items()}
    signatures = {
        command: read_signature(f"primer.cli.settings.{command.capitalize()}")
        for command in ("train", "evaluate", "predict")
    }
    signature = signatures[name]
    assert signature is not None
    if config.hydra.job.chdir:
        raise InputError("hydra.job.chdir=true: a run cannot change the working directory; relative paths would move")
    check_hydra(OmegaConf.to_container(config.hydra))
    config.paths.output_dir = "the run folder"  # Hydra sets the real path when the job runs.
    lines: Any = OmegaConf.to_container(config.hydra.overrides.task)
    typed = {parse_override(line).key_or_group.split(".")[0] for line in lines}
    all_keys = {*groups(), *(key for one in signatures.values() if one for key in one.parameters)}
    own_groups = groups() if name == "train" else choices
    other_command_keys = all_keys - {*signature.parameters, *own_groups, *typed}
    for key in config:
        if key == "hydra" or key in other_command_keys:  # configs/local may have settings for the other command.
            continue
        if key == "local" and key not in typed:
            raise InputError("configs/local/default.yaml has no effect: its first line must be '# @package _global_'")
        try:
            value = OmegaConf.select(config, str(key))
            plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            raise InputError(f"{key}: {one_line(error)}") from error
        if key in signature.parameters:
            if expected := mismatch(plain, signature.parameters[str(key)]):
                raise InputError(f"{key} must be {expected}, not {plain!r}")
            check_node(plain, str(key))
        elif key in groups():
            check_group(plain, str(key))
            check_node(plain, str(key))
        else:
            valid = [*signature.parameters, *(group for group in groups() if "/" not in group)]
            value = "" if OmegaConf.is_config(value) else str(value)
            hint = suggest_key(config, str(key), str(key), valid, value)
            raise InputError(f"{key}: there is no {key} at the top level; {hint}")
        check_ranges(plain, str(key))
    if name == "train":
        for required in REQUIRED:
            valid = suggest("", groups()[required])
            if config.get(required) is None:
                raise InputError(f"{required} is required; {valid}")
            if required in BUILT and "_target_" not in config[required]:
                raise InputError(f"{required} has no _target_: its file must name a class, as _target_: …; {valid}")
        for group in OPTIONAL:
            for key, node in (config.get(group) or {}).items():
                if node is not None:
                    check_group(node, f"{group}.{key}")
                if node is not None and "_target_" not in node:  # Such as a setting of a callback that was removed.
                    raise InputError(f"{group}.{key} has no _target_: it is not selected, so its settings do not apply")
        if config.weights is None and choices.get("transfer") not in (None, "finetune"):
            raise InputError(f"transfer={choices['transfer']} requires weights=imagenet, a run folder or a file")
        for path in (parse_override(line).key_or_group for line in lines):
            if config.weights is None and path.startswith("transfer."):
                raise InputError(f"{path} has no effect without weights=imagenet, a run folder or a file")
        check_compatibility(config, choices)
    if name == "predict":
        check_prediction(config)


def check_group(node: Any, path: str) -> None:
    """Raises ``InputError`` unless a group has settings."""
    if not isinstance(node, Mapping) and not (node is None and path in OPTIONAL):
        raise InputError(f"{path} must be a mapping of settings, not {shorten(node)}")


def check_prediction(config: DictConfig) -> None:
    """Raises ``InputError`` if the model or a file of a prediction is not given or does not exist."""
    if (config.run is None) == (config.ckpt is None):
        raise InputError("predict requires either run=DIR, a run folder, or ckpt=FILE, a checkpoint")
    source = Path(config.input).expanduser()
    if not source.exists():
        raise InputError(f"input={config.input}: there is no such file or folder")
    check_format(Path(config.output))
    if config.batch_size is not None and config.batch_size < 1:
        raise InputError(f"batch_size must be at least 1, not {config.batch_size}")
    if config.accelerator.devices not in (1, "auto") or config.accelerator.strategy != "auto":
        raise InputError("predict.py uses one device: set accelerator.devices=1 accelerator.strategy=auto")


def check_node(node: Any, path: str) -> None:
    """Checks a node, and all nodes within it, against the signature of its target."""
    if not isinstance(node, Mapping):
        return
    target = node.get("_target_")
    signature = read_signature(target) if isinstance(target, str) else None
    if target is not None and (not isinstance(target, str) or target.split(".")[0] not in paths.packages()):
        raise InputError(f"{path}._target_: {target!r} is not allowed: it must be in {paths.allowed()}")
    if signature is None and str(target).startswith("primer."):
        raise InputError(f"{path}._target_: {target} does not exist")
    has_extra = path in EXTRA_SETTINGS and not (path == "model" and target is None)
    extra = read_signature(EXTRA_SETTINGS[path]) if has_extra else None
    for key, value in node.items():
        setting = f"{path}.{key}"
        if str(key).startswith("_"):
            if target is not None and key != "_target_":
                raise InputError(f"{setting} is not allowed: only _target_ and the names of arguments are")
            continue
        if value == "???":
            raise InputError(f"{setting} is required: set it with {setting}=…")
        if signature or extra:
            check_value(setting, key, value, [one for one in (extra, signature) if one])
        check_node(value, setting)


def check_hydra(node: Any, path: str = "hydra") -> None:
    """Raises ``InputError`` if Hydra's own settings, which it acts on before a job starts, name anything to call that
    is not a part of Hydra."""
    if isinstance(node, Mapping):
        target = node.get("_target_")
        known = str(target).startswith(HYDRA_PACKAGES) or str(target).removeprefix("primer.cli.") in PLUGINS
        if target is not None and not known:
            raise InputError(f"{path}._target_: {target!r} is not allowed: it must be a part of Hydra")
        if "()" in node:
            raise InputError(f"{path}.(): a factory for logging is not allowed")
        for key, value in node.items():
            check_hydra(value, f"{path}.{key}")


def check_value(setting: str, key: str, value: Any, signatures: list[Signature]) -> None:
    """Checks a value against the first signature that has a parameter ``key``.

    Args:
        setting: the dotted path of the setting, for messages.
        key: the last part of the path.
        value: the value to check.
        signatures: the signatures that the setting may belong to.
    """
    for signature in signatures:
        if key in signature.parameters:
            null_allowed = value is None and (setting in NULL_ALLOWED or key in WATCHED)
            if null_allowed or (isinstance(value, Mapping) and "_target_" in value):
                return
            if expected := mismatch(value, signature.parameters[key]):
                raise InputError(f"{setting} must be {expected}, not {value!r}")
            return
    if any(signature.accepts_kwargs for signature in signatures):
        return
    valid = [name for signature in signatures for name in signature.parameters]
    raise InputError(f"{setting}: {signatures[-1].name.split('.')[-1]} does not accept {key}; {suggest(key, valid)}")


def augmentation_targets(config: DictConfig) -> dict[str, Any]:
    """Returns the target of each selected augmentation step, by name.

    Raises:
        InputError: if an override sets an option of a step that is not selected. In an experiment file this is allowed.
    """
    nodes = OmegaConf.select(config, "regularization.augmentation") or {}
    steps = {str(name): node.get("_target_") for name, node in nodes.items() if isinstance(node, DictConfig)}
    for line in OmegaConf.select(config, "hydra.overrides.task") or []:
        path = parse_override(line).key_or_group.split(".")
        if path[:2] == AUGMENTATION.split("/") and len(path) > 3 and steps.get(path[2]) is None:
            raise InputError(not_selected_message(".".join(path), AUGMENTATION, path[2]))
    return {name: target for name, target in steps.items() if target is not None}


def check_compatibility(config: DictConfig, choices: dict[str, Any]) -> None:
    """Raises ``InputError`` if the model, the objective or an augmentation step does not accept the data."""
    data = config.data.get("_target_")
    data_name = choices.get("data") or data
    steps = augmentation_targets(config)
    parts = [("model", "it", config.model.get("_target_")), ("objective", "it", config.objective.get("_target_"))]
    parts += [(AUGMENTATION, name, target) for name, target in steps.items()]
    choices = {AUGMENTATION: f"[{','.join(steps)}]", **choices}  # Hydra does not record a choice that is a list.
    for group, subject, target in parts:
        if is_compatible(target, data):
            continue
        side = next(
            s
            for s in ("inputs", "targets")
            if types_of(target, s) and not set(types_of(target, s)) & set(types_of(data, s))
        )
        compatible = [choice for choice in groups()["data"] if is_compatible(target, target_of("data", choice))]
        hint = f"compatible data: {', '.join(compatible) or 'none'}"
        fitting = [
            choice
            for choice in groups()[group]
            if targets_of(group, choice) or group != "model"
            if all(is_compatible(one, data) for one in targets_of(group, choice))
        ]
        if group == "model":
            hint = f"models for {data_name}: {', '.join(fitting) or 'none'}; {hint}"
        else:
            hint += f"; for {data_name}: {group}={', '.join(fitting)}"
        raise InputError(
            f"{group}={choices.get(group) or target} does not fit data={data_name}: {subject} expects {side} of type "
            f"{' or '.join(types_of(target, side))}, but {data_name} has {' or '.join(types_of(data, side))}; "
            f"{hint}"
        )
