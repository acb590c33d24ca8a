"""What a command takes from an earlier run: ``resume=RUN`` its config, ``weights=RUN`` the settings of its model."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from primer.cli.choices import groups, target_of
from primer.cli.composition import compose_checked, parse_override
from primer.config.fixed import differences, override_value
from primer.config.secrets import REDACTED, map_strings
from primer.errors import InputError

RESUMED = "resumed_run"
"""The name of the primary config of a resumed run, which Hydra finds in its config store."""

RECIPES = ("experiment", "debug", "local")
"""Groups whose choices set several groups at once."""

REPLACED = ("model", "data")
"""Groups whose choices may override other groups, which has no meaning in a config that is already composed."""

FROM_RUN = re.compile(r"\$\{(?!oc\.select:data\.)")
"""An interpolation that takes a setting from the run, unless from its data."""

NODES = {"model", "data", "optimizer", "trainer", "paths"}
"""Nodes that the config of every training run has."""


FROM_THE_WEIGHTS = ("embeddings", "freeze_embeddings")
"""Settings of a model that a run that starts from its weights does not take."""


class Recorded(NamedTuple):
    """What a run has recorded.

    Attributes:
        config: its config, in which only ``paths.output_dir`` and environment variables are not resolved.
        overrides: what was typed, in the order of typing.
        folder: its run folder; None for a checkpoint outside of a run folder.
    """

    config: dict[str, Any]
    overrides: list[str]
    folder: Path | None


def use_earlier_runs(name: str, args: argparse.Namespace) -> None:
    """Changes the parsed arguments of a command so that they include what it takes from earlier runs.

    Args:
        name: the primary config of the command.
        args: ``overrides``, ``config_name`` and ``multirun`` as parsed by Hydra.

    Raises:
        InputError: if ``resume`` or ``weights`` names a run that does not exist or has no config, or if the command
            changes a setting that cannot change when a run is resumed.
    """
    typed = [parse_override(text) for text in args.overrides] if name == "train" else []
    if (source := last_value(typed, "resume")) is not None:
        if args.multirun:
            raise InputError(f"resume={source} continues a single run, so it cannot be combined with -m")
        args.overrides = resume(source, typed)
        args.config_name = RESUMED
    elif (source := last_value(typed, "weights")) is not None and Path(source).expanduser().exists():
        args.overrides = [*model_overrides(source, typed), *args.overrides]


def resume(source: str, typed: list[Override]) -> list[str]:
    """Registers the config of an earlier run as a primary config, and returns the overrides to compose it with.

    Overrides of groups that the run was started with are left out, so that one can repeat its command with ``resume``
    added.

    Raises:
        InputError: if the overrides change a setting that cannot change.
    """
    recorded = read_run(source)
    started_with = {parse_override(text).key_or_group: text for text in recorded.overrides}
    new = [one for one in typed if not (is_structural(one) and started_with.get(one.key_or_group) == one.input_line)]
    content, changes = dict(recorded.config), []
    for override in [one for one in new if one.key_or_group in groups()]:
        group = override.key_or_group
        if group in RECIPES:
            changes.append(f"{group}={override.value()}")
        if group in REPLACED:
            chosen = compose_checked("train", [override.input_line or ""])[group]
            content[group] = OmegaConf.to_container(chosen, resolve=False)
        if group in (*RECIPES, *REPLACED):
            new.remove(override)
        else:
            content = without(content, group.split("/"))
    lines = [override.input_line or "" for override in new]
    content["defaults"] = [{"hydra": "default"}, "_self_", *({group: None} for group in chosen_groups(new))]
    content["hydra"] = {"run": {"dir": str(recorded.folder.absolute())}} if recorded.folder else {}
    ConfigStore.instance().store(RESUMED, content, replace=True)
    changes += differences(resolved(recorded.config), resolved(compose_checked(RESUMED, lines)))
    if changes:
        raise InputError(
            f"resume={source}: a resumed run cannot change {', '.join(changes)}; weights={source} starts a new run "
            "from its weights"
        )
    return lines


def model_overrides(source: str, typed: list[Override]) -> list[str]:
    """Returns overrides with the model of an earlier run and its settings; none if the command selects a model, or if
    no file in ``configs/model`` names it. Settings that a run takes from other groups, such as dropout, are left out,
    but not those that follow the data, which are sizes of the weights."""
    if chosen_groups(typed) & {"model", "experiment"} or source.endswith(".safetensors"):
        return []
    model = read_run(source).config.get("model") or {}
    choice = next((one for one in groups()["model"] if target_of("model", one) == model.get("_target_")), None)
    if choice is None:
        return []
    node: Any = OmegaConf.to_container(compose_checked("train", [f"model={choice}"]).model, resolve=False)
    model = {key: value for key, value in model.items() if key not in FROM_THE_WEIGHTS}
    own = {
        key: value for key, value in model.items() if not FROM_RUN.search(str(node.get(key))) and node.get(key) != value
    }
    return [f"model={choice}"] + [
        f"{'' if key in node else '+'}model.{key}={override_value(value)}" for key, value in own.items()
    ]


def read_run(source: str) -> Recorded:
    """Reads what a run has recorded, given its folder or a checkpoint. A checkpoint outside of a run folder has the
    config only.

    Raises:
        InputError: if there is no such run, or it has no config of a training run.
    """
    path = Path(source).expanduser()
    folder = path if path.is_dir() else path.parent.parent if path.parent.name == "checkpoints" else None
    if not path.exists():
        raise InputError(f"there is no run folder or checkpoint {path}")
    file = folder / "config.yaml" if folder else path
    if folder and file.is_file():
        config, overrides = read_yaml(file), folder / "overrides.yaml"
        lines = read_yaml(overrides) if overrides.is_file() else []
    else:
        reading = import_module("primer.checkpoints.reading")  # Needs torch.
        file = reading.find_checkpoint(path, ("last", "best"))
        config, lines = escape(reading.read_checkpoint(file)["primer"]["config"]), []
        if secret := REDACTED.search(str(config)):
            raise InputError(f"{file} does not contain the secret {secret[1]}: resume from its run folder")
    if not isinstance(config, dict) or not config.keys() >= NODES or not isinstance(config["paths"], dict):
        raise InputError(f"{file} is not the config of a training run")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise InputError(f"{folder}/overrides.yaml is not a list of overrides")
    return Recorded(rebase(config), lines, folder)


def read_yaml(file: Path) -> Any:
    """Reads a YAML file without resolving interpolations. Raises ``InputError`` if it cannot be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def rebase(config: dict[str, Any]) -> dict[str, Any]:
    """Replaces the recorded path of the run folder by an interpolation, since the folder may have been moved."""
    old = config["paths"].get("output_dir")

    def replace(text: str) -> str:
        inside = isinstance(old, str) and (text == old or text.startswith(f"{old}/"))
        return "${paths.output_dir}" + text[len(str(old)) :] if inside else text

    config = map_strings(config, replace)
    return config | {"paths": config["paths"] | {"output_dir": "${hydra:runtime.output_dir}"}}


def escape(config: Any) -> Any:
    """Escapes interpolations, so that those in a checkpoint are never resolved."""
    return map_strings(config, lambda text: text.replace("${", "\\${"))


def without(node: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Returns a copy of a nested dictionary without the node at a path."""
    key, *rest = path
    if not rest:
        return {name: value for name, value in node.items() if name != key}
    return node | {key: without(node[key], rest)} if isinstance(node.get(key), dict) else node


def resolved(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """Returns a config without its ``hydra`` node and the path of the run folder, resolved to plain containers."""
    cfg = OmegaConf.create(config) if isinstance(config, dict) else copy.deepcopy(config)
    OmegaConf.update(cfg, "hydra", None)
    OmegaConf.update(cfg, "paths.output_dir", "the run folder")
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise InputError(" ".join(str(error).split())) from error


def last_value(overrides: Iterable[Override], key: str) -> str | None:
    """Returns the value that overrides set a key to; None if none does, or if a sweep has several."""
    values = [one.value() for one in overrides if one.key_or_group == key and one.type is not OverrideType.DEL]
    return str(values[-1]) if values and isinstance(values[-1], str | int) else None


def chosen_groups(overrides: Iterable[Override]) -> set[str]:
    """Returns the groups that overrides choose."""
    return {one.key_or_group for one in overrides if one.key_or_group in groups()} - {"hydra"}


def is_structural(override: Override) -> bool:
    """Whether an override chooses a group, or adds or deletes a key, so that it cannot be applied twice."""
    return override.key_or_group in groups() or override.type is not OverrideType.CHANGE
