"""Paths of the repository and its configs, and the packages that config targets may come from."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path

from primer.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs"
PACKAGES = ("primer", "torch", "torchvision", "lightning", "torchmetrics")


@cache
def packages() -> tuple[str, ...]:
    """Returns the packages that config targets may come from: ``PACKAGES``, and your own, which ``pyproject.toml``
    names as ``packages`` under ``[tool.primer]``.

    Raises:
        InputError: if that is not a list of names.
    """
    file = ROOT / "pyproject.toml"
    settings = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}) if file.is_file() else {}
    own = settings.get("primer", {}).get("packages", [])
    if not isinstance(own, list) or not all(isinstance(name, str) and name.isidentifier() for name in own):
        raise InputError(f"pyproject.toml: packages under [tool.primer] must be a list of package names, not {own!r}")
    return (*PACKAGES, *own)


def own_packages() -> tuple[str, ...]:
    """Returns Primer and your own packages: a config may name their functions, and a checkpoint their classes."""
    return (PACKAGES[0], *packages()[len(PACKAGES) :])


def allowed() -> str:
    """Returns, for messages, where a target may be."""
    return f"one of {', '.join(packages())}, or in a package that pyproject.toml names as packages under [tool.primer]"


def expand_home(override: str) -> str:
    """Replaces ``~`` at the start of the values of an override, as in ``run=~/runs/1``, by the home folder. Shells do
    that for some keys only, and Hydra's syntax does not allow ``~`` outside of quotes."""
    key, separator, value = override.partition("=")
    if not separator or key.startswith("-"):
        return override
    home = os.path.expanduser("~")
    if re.fullmatch(r"~(/[^,\[\]{}'\"]*)?", value):  # Quoted, since the home folder may contain any character.
        path = (home + value[1:]).replace("'", r"\'")
        return f"{key}='{path}'"
    return key + re.sub(r"""(?<=[=,\['"])~(?=[/,\]'"]|$)""", lambda _: home, separator + value)
