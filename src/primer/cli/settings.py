"""The types of top-level settings and of other settings that are not arguments of a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Train:
    """The top level of ``configs/train.yaml``."""

    task_name: str
    seed: int | None
    monitor: str | None
    mode: Literal["min", "max"] | None
    test: bool
    probe: Literal["lr_find", "batch_size", "summary"] | None
    resume: str | None
    weights: str | None
    optimized_metric: str | list[str] | None


@dataclass
class Evaluate:
    """The top level of ``configs/evaluate.yaml``."""

    task_name: str
    run: str | None
    ckpt: str | None
    part: Literal["train", "val", "test"]
    beam_size: int | None
    samples: dict | None
    word_vectors: dict | None
    generated_samples: dict | None
    sample_quality: dict | None
    predictions: dict | None


@dataclass
class Predict:
    """The top level of ``configs/predict.yaml``."""

    task_name: str
    run: str | None
    ckpt: str | None
    input: str
    output: str
    column: str | None
    delimiter: str | None
    batch_size: int | None
    beam_size: int | None


@dataclass
class ModelExtras:
    """Settings of the ``model`` group that the run applies to any model that embeds words."""

    embeddings: str | None = None
    freeze_embeddings: bool = False


@dataclass
class TrainerExtras:
    """Settings of the ``trainer`` group that are not arguments of ``lightning.Trainer``."""

    compile: bool = False
    channels_last: bool = False


@dataclass
class Sweep:
    """The ``sweep`` group."""

    resume: str | None
    picture: Literal["lr", "bars", "curves", "gap", "batch_size", "folds"] | None
