"""Files for the readers: of text, and folders of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.image_folders import Make, fill

from primer.data.images.image_folder import ImageFolder


@pytest.fixture
def write(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """A function that writes a file, which is called ``FILE`` of the test's module unless it is told otherwise."""

    def to(text: str | bytes, name: str = request.module.FILE) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 20 and 40 pictures."""
    fill(tmp_path / "set" / "cat", 20)
    fill(tmp_path / "set" / "dog", 40, first=100)
    return tmp_path / "set"


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Make:
    """A function that makes the data set of that folder, with any settings."""

    def make(**settings: Any) -> ImageFolder:
        return ImageFolder(**{"path": root, "size": 8, "data_dir": tmp_path / "data", "workers": 0, **settings})

    return make
