"""What a run leaves behind. Each file is written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from primer.config import PACKAGES, ROOT


def write(path: Path, content: str | bytes) -> None:
    """Writes a file through a neighbour that is then renamed, so that a killed run leaves no torn file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.with_name(f".{path.name}.{os.getpid()}")
    neighbour.write_bytes(content.encode() if isinstance(content, str) else content)
    neighbour.replace(path)


def describe(folder: Path, config: dict[str, Any], overrides: list[str]) -> None:
    """Writes what is needed to run the same again: ``config.yaml`` (resolved), ``overrides.yaml``,
    ``environment.json`` (versions, machine, commit) and ``uncommitted.diff`` where there is any."""
    write(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    write(folder / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    write(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
    if difference := _git("diff", "HEAD"):
        write(folder / "uncommitted.diff", difference + "\n")


def environment() -> dict[str, Any]:
    """Python, the machine, the versions of the packages that matter, and the commit."""
    versions = {}
    for name in (*PACKAGES, "hydra-core", "numpy", "scikit-learn"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "git_commit": _git("rev-parse", "HEAD") or None,
    }


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Writes ``metrics.json``: one flat mapping of names to numbers; what is no finite number is null."""
    finite = {key: value if abs(value) < float("inf") else None for key, value in metrics.items()}
    write(folder / "metrics.json", json.dumps(finite, indent=2) + "\n")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
