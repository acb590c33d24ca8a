"""Where files lie, and which way imports point."""

from __future__ import annotations

import ast
from pathlib import Path

from primer.config.paths import ROOT

PACKAGE = ROOT / "src" / "primer"

LAYERS = (
    ("errors",),
    ("spec", "batch"),
    ("config",),
    ("records", "objectives", "optim", "regularization"),
    ("reports",),
    ("data", "models"),
    ("callbacks",),
    ("checkpoints",),
    ("run",),
    ("cli",),
    ("__init__", "__main__"),
)
"""From the bottom up: a room imports only rooms of the lines above its own."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def imports(file: Path) -> list[str]:
    """The modules and names that a file imports from the package, as dotted paths."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.startswith("primer.")]


def test_the_top_holds_what_everything_shares() -> None:
    files = {file.stem for file in PACKAGE.glob("*.py")}
    assert files == {"__init__", "__main__", "spec", "batch", "errors"}


def test_every_room_has_a_layer() -> None:
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert rooms == LEVEL.keys()


def test_imports_point_down() -> None:
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports(file):
            other = name.split(".")[1]
            if other != room and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_nothing_within_models_and_data_imports_up() -> None:
    """Layers and readers know nothing of the models and data sets that are built on them."""
    allowed = {
        "models/layers": {"layers"},
        "models/base": {"base"},
        "data/readers": {"readers", "loading"},
        "data/loading": {"loading"},
    }
    wrong = []
    for folder, rooms in allowed.items():
        for file in (PACKAGE / folder).rglob("*.py"):
            for name in imports(file):
                _, room, *rest = name.split(".")
                if room == folder.split("/")[0] and rest[0] not in rooms:
                    wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not wrong


def test_the_command_line_imports_no_torch() -> None:
    for file in (PACKAGE / "cli").rglob("*.py"):
        roots = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }
        assert not roots & {"torch", "lightning", "torchvision", "torchmetrics"}, file
