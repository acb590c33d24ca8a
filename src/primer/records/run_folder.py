"""The files that a run writes. Each file is written atomically."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from primer.config import secrets
from primer.config.paths import PACKAGES, ROOT

TRACKING = "tracking.json"
"""The file with the ids that trackers, such as Weights & Biases, have given to the run."""

PROVENANCE_FILES = (
    "config.yaml", "overrides.yaml", "environment.json", "uncommitted.diff", "tensorboard", "wandb", TRACKING
)  # fmt: skip
"""The files and folders that a run writes before its first results, apart from its log."""

DIFF = ("diff", "--no-color", "--no-ext-diff")
MAX_FILES, MAX_FILE_SIZE = 100, 100_000
"""The maximum number of untracked files considered, and the maximum size in bytes of those included in the diff."""


def write(path: Path, content: str | bytes) -> None:
    """Writes a temporary file and renames it, so that an interrupted run never leaves a partial file.

    Raises:
        OSError: if that fails, with ``path`` as the file. The previous file is intact.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    except OSError as error:  # Such as a full disk.
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the content of a file that a run has written; empty if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def remove(path: Path) -> None:
    """Deletes a file or a directory that may not exist."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_temporary_files(folder: Path) -> None:
    """Deletes what a killed run has left of the files that it was writing."""
    unfinished = [*folder.glob("checkpoints/.*.ckpt"), *folder.glob(".*.[0-9]*"), *folder.glob("*/.*.[0-9]*")]
    for path in unfinished:
        remove(path)


def write_provenance(
    folder: Path, config: dict[str, Any], overrides: list[str], resumed: bool = False, raw: str = ""
) -> None:
    """Writes what is needed to reproduce the run: ``config.yaml`` (resolved), ``overrides.yaml``, ``environment.json``
    (versions, platform, commit, untracked files) and, if there are uncommitted changes, ``uncommitted.diff``, which
    includes untracked files.

    If the run is resumed in its folder, ``config.yaml`` is that of the resumed run, and the others keep a history:
    ``overrides.yaml`` has all overrides in the order of typing, ``environment.json`` lists later commands under
    ``resumed``, and other uncommitted changes are in ``uncommitted-2.diff`` and so on.

    Secrets of the environment are left out: see ``primer.config.secrets``. ``raw`` is the text of the config before it
    was resolved.
    """
    included, left_out = untracked()
    diff = b"".join([_git(*DIFF, "HEAD"), *(_git(*DIFF, "--no-index", "--", "/dev/null", name) for name in included)])
    current: dict[str, Any] = environment() | {"untracked": included, "untracked_left_out": left_out}
    overrides, current = secrets.redact_strings(overrides), secrets.redact_strings(current)
    diff = secrets.redact(diff.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    earlier = json.loads((folder / "environment.json").read_text()) if resumed else None
    if earlier is not None:
        overrides = [*OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml")), *overrides]  # type: ignore[misc]
        current = earlier | {"resumed": [*earlier.get("resumed", []), current]}
    write(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(secrets.unresolve(config, raw))))
    write(folder / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(overrides)))
    write(folder / "environment.json", json.dumps(current, indent=2) + "\n")
    diffs = [
        folder / "uncommitted.diff",
        *(folder / f"uncommitted-{n + 2}.diff" for n in range(len(current.get("resumed", [])))),
    ]
    if diff and not any(file.is_file() and file.read_bytes() == diff for file in diffs):
        write(diffs[-1], diff)


def environment() -> dict[str, Any]:
    """Returns the command, the Python version, the platform, the versions of the main packages, and the commit."""
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
    """Returns the untracked files that git does not ignore, such as a model under development: those to include in the
    diff, and those left out because they are large, not text, hidden, or too many."""
    names = _git("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    files = sorted((os.fsdecode(name) for name in names if name), key=lambda name: not name.endswith((".py", ".yaml")))
    included = [name for name in files[:MAX_FILES] if _is_source(ROOT / name)]
    left_out = [name for name in files[:MAX_FILES] if name not in included]
    rest = [f"and {len(files) - MAX_FILES:,} more"] if len(files) > MAX_FILES else []
    return included, left_out + rest


def write_metrics(folder: Path, metrics: dict[str, float]) -> None:
    """Writes ``metrics.json``, a flat mapping of names to numbers; values that are not finite become null."""
    finite = {key: value if abs(value) < float("inf") else None for key, value in metrics.items()}
    write(folder / "metrics.json", json.dumps(finite, indent=2) + "\n")


def _is_source(file: Path) -> bool:
    """Whether a file is text, small enough to be handwritten, and not hidden, since hidden files may contain keys."""
    try:
        if any(part.startswith(".") for part in file.relative_to(ROOT).parts) or file.stat().st_size > MAX_FILE_SIZE:
            return False
        return file.is_file() and "\0" not in file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _git(*arguments: str) -> bytes:
    """Returns the output of a git command, empty if it fails. ``--no-index`` exits with 1 if two files differ."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout if done.returncode == 0 or (done.returncode == 1 and "--no-index" in arguments) else b""
