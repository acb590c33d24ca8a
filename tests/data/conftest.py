"""Fixtures that write text files and folders of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.image_folders import Make, fill

from primer.data.images.image_folder import ImageFolder


@pytest.fixture
def write(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """A function that writes a file, named ``FILE`` of the test's module by default, and returns its path."""

    def write_file(text: str | bytes, name: str = request.module.FILE) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two classes of 20 and 40 images."""
    fill(tmp_path / "set" / "cat", 20)
    fill(tmp_path / "set" / "dog", 40, first=100)
    return tmp_path / "set"


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Make:
    """A function that builds the data set of that folder with the given settings."""

    def make(**settings: Any) -> ImageFolder:
        return ImageFolder(**{"path": root, "size": 8, "data_dir": tmp_path / "data", "workers": 0, **settings})

    return make
