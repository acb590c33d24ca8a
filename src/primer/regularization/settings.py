"""Regularization settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from primer.errors import InputError
from primer.regularization.augmentation import Augmentation


@dataclass
class EarlyStopping:
    """Stops a run when the monitored metric has not improved by ``min_delta`` for ``patience`` validations; never if
    ``patience`` is None."""

    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 0:
            raise InputError(f"regularization.early_stopping.patience must be at least 0, or null, not {self.patience}")
        if not 0 <= self.min_delta < math.inf:
            raise InputError(
                f"regularization.early_stopping.min_delta must be at least 0 and finite, not {self.min_delta}"
            )


@dataclass
class Regularization:
    """The regularization settings of a run.

    Attributes:
        dropout: the dropout probability; where it applies depends on the model.
        l1, l2: the coefficients of the penalties on weights; biases and norms are not penalized.
        label_smoothing: the fraction of the target probability that is spread evenly over all classes.
        stochastic_depth: the probability of skipping the last block of a residual model in training.
        ema: the decay of the moving average of the weights, which is evaluated and saved; None for no average.
        early_stopping: when to stop.
        augmentation: the augmentation steps applied to each training batch, in order, keyed by name. A value that is a
            mapping is ignored: it holds an experiment's settings for a step that was not selected.
    """

    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    augmentation: dict[str, Augmentation] = field(default_factory=dict)
    stochastic_depth: float = 0.0
    ema: float | None = None

    def __post_init__(self) -> None:
        for name in ("dropout", "label_smoothing", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"regularization.{name} must be at least 0 and less than 1, not {getattr(self, name)}")
        for name in ("l1", "l2"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"regularization.{name} must be finite and at least 0, not {getattr(self, name)}")
        chosen = {name: step for name, step in self.augmentation.items() if not isinstance(step, dict | None)}
        for name, step in chosen.items():
            if not isinstance(step, Augmentation):
                raise InputError(
                    f"regularization.augmentation.{name} must be an Augmentation, not {type(step).__name__}"
                )
        self.augmentation = chosen
