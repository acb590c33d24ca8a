"""Saves figures in the run folder, and sends them to the loggers that support images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from lightning import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from primer.records import run_folder
from primer.records.console import say
from primer.records.mlflow import MLflow
from primer.records.wandb import WandB
from primer.reports import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPREAD = 2654435769
"""The golden ratio as a 32-bit fraction: its multiples are spread evenly modulo 2^32 (Knuth 1973, section 6.4)."""

T = TypeVar("T")


@contextmanager
def log_failure(dirpath: Path, name: str) -> Iterator[None]:
    """Logs any exception raised while drawing, prints a one-line warning, and lets the run continue."""
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).warning("drawing %s failed", name, exc_info=True)
        reason = " ".join(str(error).split())
        say(f"warning: {dirpath.name}/{name}.png was not drawn: {type(error).__name__}: {reason}")


def publish(trainer: Trainer, dirpath: Path, name: str, figure: Figure) -> None:
    """Saves a figure as ``dirpath/name.png`` and sends it to the loggers that support images."""
    file = dirpath / f"{name}.png"
    run_folder.write(file, figures.png(figure))
    for logger in trainer.loggers:
        log_picture(logger, f"pictures/{name}", file, trainer.global_step)


def log_picture(logger: Logger, key: str, file: Path, step: int) -> None:
    """Sends a PNG file to a logger, if it supports images."""
    if isinstance(logger, WandB | MLflow):
        logger.log_picture(key, file)
    elif isinstance(logger, WandbLogger):  # Lightning's own.
        logger.log_image(key=key, images=[str(file)])
    elif isinstance(logger, TensorBoardLogger):
        from matplotlib.image import imread

        logger.experiment.add_image(key, imread(file)[..., :3], step, dataformats="HWC")


def gather_objects(own: T) -> list[T]:
    """Gathers an object from every process, ordered by rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, own)
    return gathered
