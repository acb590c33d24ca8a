"""Optimizers that are made for some parameters only, with Adam or AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Groups = Iterable[Tensor] | Iterable[dict[str, Any]]


class Chained(Optimizer):
    """Several optimizers behind one: a step is a step of each. Their parameter groups are this one's, so a
    learning-rate schedule and gradient clipping see them all.

    Args:
        optimizers: at least one, over disjoint parameters.
    """

    def __init__(self, optimizers: list[Optimizer]) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        for optimizer in optimizers:
            optimizer.state = self.state  # One state, so that saving and loading need nothing special.
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
        first = 0
        for optimizer in self.optimizers:
            last = first + len(optimizer.param_groups)
            optimizer.param_groups = self.param_groups[first:last]
            first = last


class Muon(Chained):
    """Muon (Jordan et al. 2024) for weight matrices, AdamW for kernels, biases and norms, with one learning rate for
    both: the update of each matrix is scaled to the size of AdamW's (Liu et al. 2025).

    Args:
        params: parameters or groups of them.
        lr: the learning rate.
        momentum: of Muon.
        weight_decay: decoupled, of both.
    """

    def __init__(self, params: Groups, lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        matrices, others = partition(params, lambda p: p.ndim == 2)
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
    """Lazy Adam for embeddings with sparse gradients (a model's ``sparse=true``), which updates only the rows of a
    batch; Adam for the rest.

    Args:
        params: parameters or groups of them; those with sparse gradients are marked with an attribute ``sparse``.
        lr: the learning rate.
        betas, eps: as in Adam (Kingma and Ba 2015).
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
    """Parameters or groups in two lists of groups: those that belong, and the rest. Empty groups are left out."""
    plain = list(params)
    groups: list[dict[str, Any]] = plain if plain and isinstance(plain[0], dict) else [{"params": plain}]  # type: ignore[assignment]
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for group in groups:
        for side, wanted in zip(sides, (True, False), strict=True):
            chosen = [p for p in group["params"] if bool(belongs(p)) is wanted]
            if chosen:
                side.append({**group, "params": chosen})
    return sides
