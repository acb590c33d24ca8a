"""``docs/results.md`` covers every recipe, and the recipes stay short."""

from __future__ import annotations

import re
import shlex

import pytest

from primer.cli.checks import check_command
from primer.cli.choices import groups
from primer.config.paths import CONFIGS, ROOT

RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python train.py (.*)$", RESULTS, re.MULTILINE)


@pytest.mark.parametrize("recipe", groups()["experiment"])
def test_every_recipe_has_a_section_with_its_command(recipe: str) -> None:
    section = RESULTS.split(f"\n## {recipe}\n")[1].split("\n## ")[0]
    assert re.search(rf"^python train.py (-m )?experiment={recipe}\b", section, re.MULTILINE)
    assert "- Published" in section or "| published" in section or "- Theory" in section


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_passes_the_checks(command: str) -> None:
    arguments = shlex.split(command)
    check_command("train", [argument for argument in arguments if argument != "-m"], multirun="-m" in arguments)


@pytest.mark.parametrize("recipe", groups()["experiment"])
def test_the_comment_of_a_recipe_is_short(recipe: str) -> None:
    lines = (CONFIGS / "experiment" / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()[1:]
    assert 1 <= next(k for k, line in enumerate(lines) if not line.startswith("#")) <= 3
