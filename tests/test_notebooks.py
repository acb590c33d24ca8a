"""Notebooks have their outputs saved, without anything of the machine that ran them. pytest --nbmake runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from primer.config.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(file: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks() -> None:
    assert [file.stem for file in NOTEBOOKS] == ["explain", "quickstart", "sweep"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_saved(file: Path) -> None:
    assert len(json.loads(file.read_text())["cells"]) <= 25
    assert [cell["execution_count"] for cell in code_cells(file)] == list(range(1, len(code_cells(file)) + 1))
    outputs = [output for cell in code_cells(file) for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_name_no_path_or_address(file: Path) -> None:
    for cell in code_cells(file):
        for output in cell["outputs"]:
            kinds = {kind: text for kind, text in output.get("data", {}).items() if not kind.startswith("image/")}
            text = json.dumps([kinds, output.get("text", [])])
            assert not re.search(r"(?<![\w.])/\w+/|\w:\\\\|https?://|site-packages", text), text


def test_readme_links_every_notebook() -> None:
    readme = (ROOT / "README.md").read_text()
    for file in NOTEBOOKS:
        assert f"(notebooks/{file.name})" in readme
