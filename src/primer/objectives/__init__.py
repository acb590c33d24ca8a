"""Losses, and the metrics that evaluate predictions."""

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.objectives.classification import BinaryCrossEntropy, CrossEntropy
from primer.objectives.model_loss import ModelLoss
from primer.objectives.regression import MAE, MSE, GaussianNLL, Huber
from primer.objectives.sequences import NextTokenCrossEntropy, SequenceCrossEntropy, TagCrossEntropy
from primer.spec import Classes, NextToken, NoTarget, Sequence, Tags, Target, Values

DEFAULTS: dict[type, type[Objective]] = {
    Classes: CrossEntropy,
    Tags: TagCrossEntropy,
    Sequence: SequenceCrossEntropy,
    NextToken: NextTokenCrossEntropy,
    Values: MSE,
}


def cross_entropy(target: Target, label_smoothing: float = 0.0) -> Objective:
    """Returns the cross-entropy objective for class labels, per-step tags, sequences or next tokens.

    Raises:
        InputError: if the target is not categorical.
    """
    if isinstance(target, Values) or type(target) not in DEFAULTS:
        raise InputError(f"cross-entropy does not support targets of type {type(target).__name__}")
    return DEFAULTS[type(target)](target, label_smoothing=label_smoothing)  # type: ignore[call-arg]


def auto(target: Target, label_smoothing: float = 0.0) -> Objective:
    """Returns the default objective for a target: cross-entropy for classes, mean squared error for values, the loss
    of the model itself if there is no target."""
    if isinstance(target, NoTarget):
        return ModelLoss(target)
    if isinstance(target, Values):
        return MSE(target)
    return cross_entropy(target, label_smoothing)


__all__ = [
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "GaussianNLL",
    "Huber",
    "ModelLoss",
    "NextTokenCrossEntropy",
    "Objective",
    "SequenceCrossEntropy",
    "TagCrossEntropy",
    "auto",
    "cross_entropy",
]
