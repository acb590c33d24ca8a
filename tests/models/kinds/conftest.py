"""A fixture that runs commands with the models of this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primer.config import paths

CONFIGS = Path(__file__).parent / "configs"


@pytest.fixture
def train(run_in_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Returns a function that runs train.py or evaluate.py with the configs and the models of this package."""
    monkeypatch.setattr(paths, "packages", lambda: (*paths.PACKAGES, "models"))

    def run(*arguments: str, script: str = "train.py") -> Any:
        folder = (f"--config-dir={CONFIGS}",) if script == "train.py" else ()
        return run_in_process(script, *folder, *arguments, "accelerator=cpu")

    return run
