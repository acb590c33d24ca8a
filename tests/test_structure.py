"""The layout of the package and the direction of its imports."""

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
    ("data",),
    ("prediction",),
    ("models",),
    ("callbacks",),
    ("checkpoints",),
    ("export",),
    ("run",),
    ("cli",),
    ("__init__", "__main__"),
)
"""Subpackages from the bottom up: each imports only those on the lines above its own."""

LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}


def imports(file: Path) -> list[str]:
    """Returns the modules and names that a file imports from primer, as dotted paths."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.startswith("primer.")]


def test_top_level_modules() -> None:
    files = {file.stem for file in PACKAGE.glob("*.py")}
    assert files == {"__init__", "__main__", "spec", "batch", "errors"}


def test_every_subpackage_has_a_layer() -> None:
    packages = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert packages == LEVEL.keys()


def test_imports_only_lower_layers() -> None:
    violations = []
    for file in PACKAGE.rglob("*.py"):
        package = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports(file):
            imported = name.split(".")[1]
            if imported != package and LEVEL[imported] >= LEVEL[package]:
                violations.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not violations


def test_shared_code_within_models_and_data_imports_no_models_or_data_sets() -> None:
    """Layers and readers do not depend on the models and data sets built on them."""
    allowed = {
        "models/layers": {"layers"},
        "models/base": {"base"},
        "data/readers": {"readers", "loading"},
        "data/loading": {"loading"},
    }
    violations = []
    for folder, packages in allowed.items():
        for file in (PACKAGE / folder).rglob("*.py"):
            for name in imports(file):
                _, package, *rest = name.split(".")
                if package == folder.split("/")[0] and rest[0] not in packages:
                    violations.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not violations


def test_the_command_line_does_not_import_torch() -> None:
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
