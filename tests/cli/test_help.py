"""The help text of both commands."""

from __future__ import annotations

import re

import pytest

from primer.cli.choices import groups
from primer.cli.help import help_text


def test_help_lists_every_group_and_choice() -> None:
    text = help_text("train")
    for group, choices in groups().items():
        if group in ("local", "hydra", "paths"):  # They leave no choice; the last line of the help explains local.
            continue
        assert re.search(rf"^  {group} ", text, re.MULTILINE)
        for choice in choices:
            assert re.search(rf"\b{choice}\b", text)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_fits_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("60", 60), ("90", 90), ("300", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        assert max(map(len, help_text(name).splitlines())) <= width
    assert len(help_text(name, 100).splitlines()) <= 60
