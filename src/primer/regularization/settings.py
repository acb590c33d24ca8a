"""Regularization settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from primer.errors import InputError
from primer.regularization.augmentation import Augmentation


@dataclass
class EarlyStopping:
    """Stop a run when the monitored metric has not improved by ``min_delta`` for ``patience`` epochs; never if
    ``patience`` is None."""

    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise InputError(f"regularization.early_stopping.patience must be at least 0 or null, not {self.patience}")


@dataclass
class Regularization:
    """Regularization settings of a run.

    Attributes:
        dropout: dropout probability; each model documents where dropout is applied.
        l1, l2: coefficients of the weight penalties, which exclude biases and normalization parameters.
        label_smoothing: fraction of the target probability that is distributed uniformly over all classes.
        stochastic_depth: probability of skipping the last block of a residual model in training.
        ema: decay of the exponential moving average of the weights, which is evaluated and saved; None to disable it.
        early_stopping: when to stop early.
        augmentation: augmentations of training batches by name, applied in order. Entries that are still mappings are
            dropped: an experiment may have settings for an augmentation that is not selected.
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
        selected = {name: step for name, step in self.augmentation.items() if not isinstance(step, dict | None)}
        for name, step in selected.items():
            if not isinstance(step, Augmentation):
                raise InputError(
                    f"regularization.augmentation.{name} must be an Augmentation, not {type(step).__name__}"
                )
        self.augmentation = selected
