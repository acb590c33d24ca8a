"""Parameter groups for L1 and L2 regularization, and the construction of optimizers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from primer.errors import InputError
from primer.optim.chained import SparseAdam
from primer.optim.row_clipped import RowClippedSGD

OptimizerFactory = Callable[..., Optimizer]

TAKE_SPARSE = (SparseAdam, RowClippedSGD, torch.optim.SparseAdam, torch.optim.SGD, torch.optim.Adagrad)
"""The optimizers that take sparse gradients."""

FUSED_DEVICES = ("cpu", "cuda", "mps")


def decayed(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Splits the trainable parameters into those that L1 and L2 apply to, and the others.

    The others are biases, norms and other vectors, and embeddings with sparse gradients, which a penalty on all rows
    would make dense.
    """
    norms = {id(p) for layer in model.modules() if "Norm" in type(layer).__name__ for p in layer.parameters(False)}
    shrunk: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (
                shrunk if parameter.ndim > 1 and id(parameter) not in norms and not _is_sparse(parameter) else others
            ).append(parameter)
    return shrunk, others


def mark_hidden(model: nn.Module) -> None:
    """Marks the parameters of embeddings and of the last layer, ``head``, for optimizers that treat those of hidden
    layers differently."""
    outer: list[nn.Module] = [layer for layer in model.modules() if isinstance(layer, nn.Embedding | nn.EmbeddingBag)]
    if isinstance(head := getattr(model, "head", None), nn.Module):
        outer.append(head)
    for layer in outer:
        for parameter in layer.parameters():
            parameter.hidden = False  # type: ignore[attr-defined]  # Read by primer.optim.Muon.


def penalizes(factory: OptimizerFactory) -> bool:
    """Whether L2 has to be added to the loss, because the optimizer does not support ``weight_decay`` per parameter
    group."""
    return _class_of(factory) is LBFGS or "weight_decay" not in _parameters(factory)


def rate_factors(depth_groups: list[list[nn.Module]], lowest: float) -> dict[int, float]:
    """Returns the learning-rate factor of each parameter, keyed by its ``id``: ``lowest`` in the first group, 1 in the
    last, and a geometric progression in between.

    Raises:
        InputError: if ``lowest`` is not in (0, 1].
    """
    if not 0 < lowest <= 1:
        raise InputError(f"transfer.lowest_rate must be more than 0 and at most 1, not {lowest}")
    last = max(1, len(depth_groups) - 1)
    factors: dict[int, float] = {}
    for depth, group in enumerate(depth_groups):
        for layer in group:
            for parameter in layer.parameters():
                factors.setdefault(id(parameter), lowest ** (1 - depth / last))  # Tied weights take the lower rate.
    return factors


def build_optimizer(
    factory: OptimizerFactory,
    model: nn.Module,
    l2: float = 0.0,
    fused: bool = True,
    factors: dict[int, float] | None = None,
) -> Optimizer:
    """Builds an optimizer over the trainable parameters of a model.

    Args:
        factory: an optimizer class, or a partial of one.
        model: the model whose parameters are optimized.
        l2: the coefficient of L2 regularization, passed as the optimizer's ``weight_decay``; never applied to biases
            and norms. Ignored if the optimizer does not support it (see ``penalizes``).
        fused: whether to allow the optimizer's fused implementation, which is used if it is requested and supported.
        factors: learning-rate factors by parameter ``id``, as returned by ``rate_factors``; 1 for any other parameter.

    Raises:
        InputError: if there are no trainable parameters, l2 is negative, the partial sets a weight decay, the optimizer
            does not support sparse gradients, or the optimizer rejects its arguments.
    """
    if not 0 <= l2 < math.inf:
        raise InputError(f"regularization.l2 must be finite and at least 0, not {l2}")
    if "weight_decay" in getattr(factory, "keywords", {}):
        raise InputError("optimizer.weight_decay would also apply to biases and norms: set regularization.l2 instead")
    mark_hidden(model)
    weights, others = decayed(model)
    if not weights + others:
        raise InputError(f"{type(model).__name__} has no trainable parameters")
    sparse = any(_is_sparse(parameter) for parameter in others)
    if sparse and _class_of(factory) not in TAKE_SPARSE:
        raise InputError(
            f"{_class_of(factory).__name__} does not support sparse gradients: use optimizer=sparse_adam, sgd or "
            "adagrad, or model.sparse=false"
        )
    settings: dict[str, Any] = {}
    parameters: list[Any] = [*weights, *others]
    if getattr(factory, "keywords", {}).get("fused") and not (fused and not sparse and _can_fuse([*weights, *others])):
        settings["fused"] = False
    if not penalizes(factory):
        settings["weight_decay"] = 0.0
        if l2:
            groups = [{"params": weights, "weight_decay": l2}, {"params": others, "weight_decay": 0.0}]
            parameters = [group for group in groups if group["params"]]
    if factors:
        parameters = _by_factor(parameters, factors)
    try:
        optimizer = factory(parameters, **settings)
    except (ValueError, TypeError) as error:
        raise InputError(f"optimizer: {error}") from error
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group.get("factor", 1.0)
    return optimizer


def _by_factor(parameters: list[Any], factors: dict[int, float]) -> list[dict[str, Any]]:
    """Splits parameters or parameter groups by learning-rate factor, which each group holds as ``factor``."""
    groups = parameters if isinstance(parameters[0], dict) else [{"params": parameters}]
    parts: list[dict[str, Any]] = []
    for group in groups:
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
        parts += [{**group, "params": params, "factor": factor} for factor, params in by_factor.items()]
    return parts


def _is_sparse(parameter: nn.Parameter) -> bool:
    return getattr(parameter, "sparse", False)


def _can_fuse(parameters: Iterable[nn.Parameter]) -> bool:
    return all(p.device.type in FUSED_DEVICES and torch.is_floating_point(p) for p in parameters)


def _class_of(factory: OptimizerFactory) -> Any:
    return getattr(factory, "func", factory)


def _parameters(factory: OptimizerFactory) -> set[str]:
    return set(inspect.signature(_class_of(factory)).parameters)
