"""What a run has written."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def figures(folder: Path) -> dict[str, float]:
    """The figures of a run folder."""
    return json.loads((folder / "metrics.json").read_text())


def epoch_of(file: Path) -> int:
    """The epoch after which a checkpoint was written, from 0."""
    return torch.load(file, weights_only=True)["epoch"]
