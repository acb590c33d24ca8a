"""Reads what runs have written. This module does not import torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import OmegaConf

from primer.errors import InputError


class Goal(NamedTuple):
    """The metric that selects the best epoch, and whether a lower or a higher value is better."""

    monitor: str
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class Run:
    """A run as its folder describes it.

    Attributes:
        folder: the run folder.
        config: the resolved config, flat: ``optimizer.lr`` to its value. The path of the run folder is written ``RUN``,
            so that two runs with the same settings have equal configs.
        overrides: the overrides of its command.
        metrics: the content of ``metrics.json``, without values that are not finite; empty if the run did not finish.
        goal: the goal in ``report.json``; without that file, the one in the config, by default the validation loss if
            there is one. None if unknown, as for a run that did not finish.
    """

    folder: Path
    config: dict[str, Any]
    overrides: list[str]
    metrics: dict[str, float]
    goal: Goal | None

    @property
    def finished(self) -> bool:
        """Whether the run has written its metrics."""
        return bool(self.metrics)


def find_runs(paths: Iterable[str | Path]) -> list[Run]:
    """Reads run folders, and all runs within the folder of a sweep.

    Raises:
        InputError: if a path is neither, or a file in it cannot be read.
    """
    runs: dict[Path, Run] = {}
    for path in map(Path, paths):
        path = path.expanduser()
        if not path.is_dir():
            raise InputError(f"there is no run folder {path}")
        folders = [path] if (path / "config.yaml").is_file() else [file.parent for file in path.glob("*/config.yaml")]
        if not folders:
            raise InputError(f"{path} is neither the folder of a run nor that of a sweep: it has no config.yaml")
        for folder in sorted(folders, key=_natural):
            runs.setdefault(folder.resolve(), read_run(folder))
    return list(runs.values())


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        InputError: if a file in it cannot be read.
    """
    config = _read_yaml(folder / "config.yaml")
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.yaml'} is not the config of a run")
    paths = config.get("paths")
    own = str(paths.get("output_dir")) if isinstance(paths, dict) else ""
    flat = {
        key: value.replace(own, "RUN") if own and isinstance(value, str) else value for key, value in flatten(config)
    }
    overrides = _read_yaml(folder / "overrides.yaml") if (folder / "overrides.yaml").is_file() else []
    values = _read_json(folder / "metrics.json").items()
    metrics = {name: float(value) for name, value in values if isinstance(value, int | float) and math.isfinite(value)}
    report = _read_json(folder / "report.json") or flat
    return Run(folder, flat, [str(line) for line in overrides or []], metrics, _find_goal(report, metrics))


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each setting of a nested config with its dotted path. Lists and empty nodes are values."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _find_goal(recorded: Mapping[str, Any], metrics: Mapping[str, float]) -> Goal | None:
    name = recorded.get("monitor") or ("val/loss" if "val/loss" in metrics else None)
    mode = recorded.get("mode") or ("min" if str(name).endswith("/loss") else None)
    return Goal(str(name), mode) if name and mode in ("min", "max") and metrics else None


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is not a file of a run: it must hold an object")
    return content


def _read_yaml(file: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except Exception as error:  # Each kind of damage raises a different exception.
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def _natural(folder: Path) -> tuple[int, str]:
    """Sorts the jobs of a sweep by their number."""
    return (int(folder.name), "") if folder.name.isdecimal() else (0, str(folder))
