"""A small run whose checkpoint is changed, and the four ways to read a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import primer
from primer.cli.composition import compose_checked
from primer.errors import InputError
from primer.run.evaluation import evaluate
from primer.run.training import train

READERS = ("load", "evaluate", "resume", "weights")

SMALL = (
    "data.train_size=100", "model.hidden_sizes=[4]", "accelerator=cpu", "logger=none", "scheduler=cosine",
    "regularization.ema=0.9", "regularization.early_stopping.patience=5", "~callbacks.pictures", "~callbacks.progress",
    "trainer.limit_val_batches=1",
)  # fmt: skip


@cache
def _composed(name: str, *overrides: str) -> DictConfig:
    config = compose_checked(name, list(overrides))
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def run(
    folder: Path, epochs: int = 1, test: bool = False, resume: str | None = None, weights: str | None = None
) -> dict[str, float]:
    """Trains the small run."""
    config = _composed("train", *SMALL)
    config.paths.output_dir, config.trainer.max_epochs = str(folder), epochs
    config.test, config.resume, config.weights = test, resume, weights
    return train(config)


def read(reader: str, file: Path, folder: Path) -> str | None:
    """Reads a checkpoint in one of four ways, and returns the message if it is rejected. Any other exception than
    ``InputError`` is raised."""
    try:
        if reader == "load":
            primer.load(file)
        elif reader == "evaluate":
            config = _composed("evaluate", "accelerator=cpu")
            config.paths.output_dir, config.ckpt = str(folder), str(file)
            evaluate(config)
        elif reader == "resume":
            run(folder, epochs=2, resume=str(file))
        else:
            run(folder, weights=str(file))
    except InputError as error:
        message = str(error)
        assert "\n" not in message
        assert len(message) < 600
        return message
    return None


def changed(file: Path, to: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Saves a copy of a checkpoint after applying ``change`` to its content."""
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, to)
    return to
