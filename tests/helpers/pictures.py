"""Helpers for the tests of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L

from primer.callbacks import Pictures
from primer.data.base import DataModule

EVERYTHING = ["activations", "confusion", "feature_maps", "filters", "mistakes", "probabilities"]


def pictures_of(
    model: Any, data: DataModule, folder: Path, trainer: Callable[..., L.Trainer], **settings: Any
) -> list[str]:
    """Runs a test loop and returns the names of the pictures that it writes."""
    precision = settings.pop("precision", "32-true")
    trainer(callbacks=[Pictures(folder, **settings)], precision=precision).test(model, data, verbose=False)
    return sorted(path.stem for path in folder.glob("*")) if folder.exists() else []
