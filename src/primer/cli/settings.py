"""The types of the settings at the top of a config, which belong to no class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Train:
    """The top of ``configs/train.yaml``."""

    task_name: str
    seed: int | None
    monitor: str | None
    mode: Literal["min", "max"] | None
    test: bool
    resume: str | None
    weights: str | None
    optimized_metric: str | None


@dataclass
class Evaluate:
    """The top of ``configs/evaluate.yaml``."""

    task_name: str
    run: str | None
    ckpt: str | None
    part: Literal["train", "val", "test"]
    beam_size: int | None
    samples: dict | None


@dataclass
class Speed:
    """What the ``trainer`` group takes besides the arguments of ``lightning.Trainer``."""

    compile: bool = False
    channels_last: bool = False
