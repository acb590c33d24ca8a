"""Counts the classes of the training part, and finds the positive one of two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from primer.errors import InputError, suggest
from primer.spec import Classes, Target

EVEN = 0.45
"""If the rarer of two classes has at least this fraction of the samples, the classes are about equally frequent."""


def count_classes(target: Target, train: Any, positive: str | None = None) -> Target:
    """Returns a target with the number of training samples of each class and the positive class.

    Args:
        target: the target; returned unchanged if it is not ``Classes``.
        train: the training part; counted if it has ``targets``.
        positive: the name of the positive class; None chooses the rarer one, or the second one if both are about
            equally frequent.

    Raises:
        InputError: if there are not two classes, or none has this name.
    """
    if not isinstance(target, Classes):
        if positive is not None:
            raise InputError(f"data.positive={positive} has no effect: the targets are not classes")
        return target
    if positive is not None:
        if len(target.names) != 2:
            raise InputError(f"data.positive={positive} requires 2 classes, not {len(target.names)}")
        if positive not in target.names:
            raise InputError(f"data.positive={positive} is not a class; {suggest(positive, list(target.names))}")
        target = replace(target, positive=target.names.index(positive))
    targets = getattr(train, "targets", None)
    if not isinstance(targets, Tensor) or targets.ndim != 1:
        return target
    counts = tuple(torch.bincount(targets.long(), minlength=len(target.names)).tolist())
    if positive is None and len(counts) == 2:
        target = replace(target, positive=0 if counts[0] < min(counts[1], EVEN * sum(counts)) else 1)
    return replace(target, counts=counts)
