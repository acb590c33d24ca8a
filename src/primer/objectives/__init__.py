"""Losses, and the metrics that evaluate predictions."""

from typing import Literal

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.objectives.classification import BinaryCrossEntropy, CrossEntropy
from primer.objectives.clustering import ClusterScores
from primer.objectives.model_loss import ModelLoss
from primer.objectives.regression import MAE, MSE, GaussianNLL, Huber
from primer.objectives.sequences import (
    MaskedTokenCrossEntropy,
    NextTokenCrossEntropy,
    SequenceCrossEntropy,
    TagCrossEntropy,
)
from primer.spec import (
    Classes,
    Context,
    Cooccurrence,
    MaskedToken,
    NextToken,
    NoTarget,
    Sequence,
    Tags,
    Target,
    Values,
)

DEFAULTS: dict[type, type[Objective]] = {
    Classes: CrossEntropy,
    Tags: TagCrossEntropy,
    Sequence: SequenceCrossEntropy,
    NextToken: NextTokenCrossEntropy,
    MaskedToken: MaskedTokenCrossEntropy,
    Values: MSE,
}


def cross_entropy(
    target: Target,
    label_smoothing: float = 0.0,
    class_weights: Literal["balanced"] | None = None,
    threshold: float | Literal["auto"] | None = None,
) -> Objective:
    """Returns the cross-entropy objective for class labels, per-step tags, sequences, next or masked tokens.

    Args:
        target: the target specification.
        label_smoothing: see ``Smoothed``.
        class_weights, threshold: see ``Classification``.

    Raises:
        InputError: if the target is not categorical, or does not support a setting.
    """
    if isinstance(target, Values) or type(target) not in DEFAULTS:
        raise InputError(f"cross-entropy does not support targets of type {type(target).__name__}")
    check_class_settings(target, class_weights, threshold)
    if isinstance(target, Classes):
        return CrossEntropy(target, label_smoothing, class_weights, threshold)
    return DEFAULTS[type(target)](target, label_smoothing=label_smoothing)  # type: ignore[call-arg]


def auto(
    target: Target,
    label_smoothing: float = 0.0,
    class_weights: Literal["balanced"] | None = None,
    threshold: float | Literal["auto"] | None = None,
) -> Objective:
    """Returns the default objective for a target: cross-entropy for classes, mean squared error for values, the loss
    of the model itself for word vectors or if there is no target. See ``cross_entropy`` for the arguments."""
    check_class_settings(target, class_weights, threshold)
    if isinstance(target, NoTarget | Context | Cooccurrence):
        return ModelLoss(target)
    if isinstance(target, Values):
        return MSE(target)
    return cross_entropy(target, label_smoothing, class_weights, threshold)


def check_class_settings(target: Target, class_weights: str | None, threshold: float | str | None) -> None:
    """Raises ``InputError`` for settings that only one class per sample supports."""
    for name, value in (("class_weights", class_weights), ("threshold", threshold)):
        if value is not None and not isinstance(target, Classes):
            raise InputError(f"objective.{name}={value} has no effect on targets of type {type(target).__name__}")


__all__ = [
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "ClusterScores",
    "CrossEntropy",
    "GaussianNLL",
    "Huber",
    "MaskedTokenCrossEntropy",
    "ModelLoss",
    "NextTokenCrossEntropy",
    "Objective",
    "SequenceCrossEntropy",
    "TagCrossEntropy",
    "auto",
    "cross_entropy",
]
