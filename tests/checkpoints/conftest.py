"""A small run that several test modules read the checkpoint of."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.checkpoint_readers import run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the checkpoint of the last epoch of a small run."""
    folder = tmp_path_factory.mktemp("small_run")
    run(folder)
    return folder / "checkpoints" / "last.ckpt"
