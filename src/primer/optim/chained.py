"""Optimizers designed for a subset of the parameters, with Adam or AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Groups = Iterable[Tensor] | Iterable[dict[str, Any]]


class Chained(Optimizer):
    """Combines several optimizers into one that steps all of them.

    It shares their parameter groups, so learning-rate schedules and gradient clipping act on all of them.

    Args:
        optimizers: one or more optimizers over disjoint parameters.
    """

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        for optimizer in optimizers:
            optimizer.state = self.state  # A shared state, so saving and loading work as usual.
        self._share_groups()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for optimizer in self.optimizers:
            optimizer.state = self.state
        self._share_groups()

    def _share_groups(self) -> None:
        start = 0
        for optimizer in self.optimizers:
            stop = start + len(optimizer.param_groups)
            optimizer.param_groups = self.param_groups[start:stop]
            start = stop


class Muon(Chained):
    """Muon (Jordan et al. 2024) for the weight matrices of hidden layers, and AdamW for embeddings, the last layer,
    convolution kernels, biases and norms.

    Both use the same learning rate: the update of each matrix is scaled to match the RMS of AdamW's updates (Liu et
    al. 2025).

    Args:
        params: parameters or parameter groups; matrices that are not of hidden layers have an attribute ``hidden`` set
            to False.
        lr: the learning rate.
        momentum: the momentum of Muon.
        weight_decay: the decoupled weight decay of both.
    """

    def __init__(self, params: Groups, lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        matrices, others = partition(params, lambda p: p.ndim == 2 and getattr(p, "hidden", True))
        optimizers: list[Optimizer] = []
        if matrices:
            muon = torch.optim.Muon(
                matrices, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            optimizers.append(muon)
        if others:
            optimizers.append(torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay))
        super().__init__(optimizers)


class SparseAdam(Chained):
    """Lazy Adam for embeddings with sparse gradients (``model.sparse=true``), which updates only the rows that occur in
    the batch; Adam for the rest.

    Args:
        params: parameters or parameter groups; those with sparse gradients have an attribute ``sparse`` set to True.
        lr: the learning rate.
        betas, eps: see Adam (Kingma and Ba 2015).
    """

    def __init__(
        self, params: Groups, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        sparse, dense = partition(params, lambda p: getattr(p, "sparse", False))
        optimizers: list[Optimizer] = []
        if sparse:
            optimizers.append(torch.optim.SparseAdam(sparse, lr=lr, betas=(betas[0], betas[1]), eps=eps))
        if dense:
            optimizers.append(torch.optim.Adam(dense, lr=lr, betas=(betas[0], betas[1]), eps=eps))
        super().__init__(optimizers)


def partition(params: Groups, belongs: Callable[[Tensor], bool]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Splits parameters or parameter groups into groups for which ``belongs`` is true, and the rest. Empty groups are
    omitted."""
    plain = list(params)
    groups: list[dict[str, Any]] = plain if plain and isinstance(plain[0], dict) else [{"params": plain}]  # type: ignore[assignment]
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for group in groups:
        for side, value in zip(sides, (True, False), strict=True):
            chosen = [p for p in group["params"] if bool(belongs(p)) is value]
            if chosen:
                side.append({**group, "params": chosen})
    return sides
