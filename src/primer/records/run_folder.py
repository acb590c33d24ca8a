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

from primer.config.paths import PACKAGES, ROOT

PROVENANCE_FILES = ("config.yaml", "overrides.yaml", "environment.json", "uncommitted.diff", "tensorboard", "wandb")
"""What a run writes before its first results, besides its log."""

DIFF = ("diff", "--no-color", "--no-ext-diff")
MOST_FILES, LARGEST_FILE = 100, 100_000
"""Of those that git does not know: how many are looked at, and the bytes of one that a diff may show."""


def write(path: Path, content: str | bytes) -> None:
    """Writes a file through a temporary that is then renamed, so that a killed run leaves no torn file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


def write_provenance(folder: Path, config: dict[str, Any], overrides: list[str]) -> None:
    """Writes what is needed to run the same again: ``config.yaml`` (resolved), ``overrides.yaml``,
    ``environment.json`` (versions, machine, commit, files that git does not know) and, where there is any,
    ``uncommitted.diff``, with those files too."""
    known, left_out = untracked()
    difference = b"".join(
        [_git(*DIFF, "HEAD"), *(_git(*DIFF, "--no-index", "--", "/dev/null", name) for name in known)]
    )
    write(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    write(folder / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    more = {"untracked": known, "untracked_left_out": left_out}
    write(folder / "environment.json", json.dumps(environment() | more, indent=2) + "\n")
    if difference:
        write(folder / "uncommitted.diff", difference)


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
        "git_commit": _git("rev-parse", "HEAD").decode().strip() or None,
    }


def untracked() -> tuple[list[str], list[str]]:
    """The files that git neither knows nor ignores, such as a model that is being written: those that a diff shows, and
    those that it leaves out, which are large, no text, hidden, or too many."""
    names = _git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    found = sorted((os.fsdecode(name) for name in names if name), key=lambda name: not name.endswith((".py", ".yaml")))
    shown = [name for name in found[:MOST_FILES] if _is_source(ROOT / name)]
    left_out = [name for name in found[:MOST_FILES] if name not in shown]
    more = [f"and {len(found) - MOST_FILES:,} more"] if len(found) > MOST_FILES else []
    return shown, left_out + more


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Writes ``metrics.json``: one flat mapping of names to numbers; what is no finite number is null."""
    finite = {key: value if abs(value) < float("inf") else None for key, value in metrics.items()}
    write(folder / "metrics.json", json.dumps(finite, indent=2) + "\n")


def _is_source(file: Path) -> bool:
    """Whether a file is a text of a size that a person writes, and not one of the hidden ones, which may hold keys."""
    try:
        if any(part.startswith(".") for part in file.relative_to(ROOT).parts) or file.stat().st_size > LARGEST_FILE:
            return False
        return file.is_file() and "\0" not in file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _git(*arguments: str) -> bytes:
    """What git says of the repository; nothing where it fails. It says 1 for two files that differ."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout if done.returncode == 0 or (done.returncode == 1 and "--no-index" in arguments) else b""
