"""A folder of pictures, and the data set that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from picture_folders import Make, fill

from primer.data.image_folder import ImageFolder


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
