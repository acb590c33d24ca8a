"""Helpers that read run folders."""

from __future__ import annotations

import json
from pathlib import Path

import torch


def figures(folder: Path) -> dict[str, float]:
    """Returns the metrics of a run folder."""
    return json.loads((folder / "metrics.json").read_text())


def epoch_of(file: Path) -> int:
    """Returns the epoch in which a checkpoint was saved, counted from 0."""
    return torch.load(file, weights_only=True)["epoch"]
