"""Stochastic gradient descent that clips the gradient of each row of an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from primer.errors import InputError


class RowClippedSGD(Optimizer):
    """Stochastic gradient descent for gradients that are summed over a batch, such as those of word vectors.

    The sum over many occurrences of a frequent word would be a step too far, and training would diverge. The gradient
    of each row is therefore clipped to a norm.

    Args:
        params: parameters or parameter groups; gradients may be sparse.
        lr: the learning rate.
        max_row_norm: the maximum norm of the gradient of a row.

    Raises:
        InputError: if ``lr`` is negative, or ``max_row_norm`` is not positive.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float = 0.025, max_row_norm: float = 40.0
    ) -> None:
        if lr < 0:
            raise InputError(f"optimizer.lr must be at least 0, not {lr}")
        if not max_row_norm > 0:
            raise InputError(f"optimizer.max_row_norm must be more than 0, not {max_row_norm}")
        super().__init__(params, {"lr": lr, "max_row_norm": max_row_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    descend(parameter, parameter.grad, group["lr"], group["max_row_norm"])
        return loss


def descend(parameter: Tensor, gradient: Tensor, lr: float, max_row_norm: float) -> None:
    """Updates a parameter, whose gradient may be sparse."""
    if gradient.is_sparse:
        gradient = gradient.coalesce()
        values = clip_rows(gradient.values(), max_row_norm)
        clipped = torch.sparse_coo_tensor(gradient.indices(), values, gradient.shape, is_coalesced=True)
    else:
        clipped = clip_rows(gradient, max_row_norm)
    parameter.add_(clipped, alpha=-lr)


def clip_rows(values: Tensor, max_norm: float) -> Tensor:
    """Returns the rows, each scaled to a norm of at most ``max_norm``."""
    norms = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    return values * (max_norm / norms.clamp_(min=max_norm))
