"""The parts of regularization and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from primer.errors import InputError
from primer.regularization.augmentation import Augmentation


@dataclass
class EarlyStopping:
    """Stops a run when the monitored metric has not improved by ``min_delta`` for ``patience`` epochs; never where
    ``patience`` is None."""

    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise InputError(f"regularization.early_stopping.patience must be at least 0, or null, not {self.patience}")


@dataclass
class Regularization:
    """All that a run does against overfitting.

    Attributes:
        dropout: the share of units dropped in training; each model says where.
        l1, l2: the coefficients of the penalties on weights; biases and norms have none.
        label_smoothing: the share of a class's target that is spread over all classes.
        stochastic_depth: how often the last block of a residual model is skipped in training.
        ema: the decay of the average of the weights, which is what is evaluated and saved; None for no average.
        early_stopping: when to stop.
        augmentation: what is done to each training batch, step by step, under the name of each step. A mapping is no
            step: an experiment has settings for one that was not chosen.
    """

    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    augmentation: dict[str, Any] = field(default_factory=dict)
    stochastic_depth: float = 0.0
    ema: float | None = None

    def __post_init__(self) -> None:
        for name in ("dropout", "label_smoothing", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"regularization.{name} must be at least 0 and less than 1, not {getattr(self, name)}")
        for name in ("l1", "l2"):
            if getattr(self, name) < 0:
                raise InputError(f"regularization.{name} must be at least 0, not {getattr(self, name)}")
        chosen = {name: step for name, step in self.augmentation.items() if not isinstance(step, dict | None)}
        for name, step in chosen.items():
            if not isinstance(step, Augmentation):
                raise InputError(f"regularization.augmentation.{name} is no augmentation but a {type(step).__name__}")
        self.augmentation = chosen
