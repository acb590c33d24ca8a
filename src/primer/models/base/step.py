"""The result of a model for one batch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """The loss of a batch, and what the metrics need.

    Attributes:
        loss: differentiable scalar, the mean over ``count`` targets.
        count: number of targets that the loss is averaged over, so that the mean loss of a pass does not depend on the
            batch size or padding.
        outputs: outputs that the metrics are computed from; None for no metrics.
        targets: targets of the outputs, if they are not those of the batch.
    """

    loss: Tensor
    count: Tensor | int
    outputs: Tensor | None = None
    targets: Tensor | None = None
