"""What a model returns for one batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """The loss of a batch, and what metrics need of it.

    Attributes:
        loss: a differentiable scalar, the mean over ``count`` targets.
        count: how many targets the loss is the mean of, so that batches of any size and any padding add up to the same
            mean.
        outputs: the outputs that the metrics judge; None if there is nothing to judge.
    """

    loss: Tensor
    count: Tensor | int
    outputs: Tensor | None = None
