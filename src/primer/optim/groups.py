"""Which parameters L2 and L1 act on, and how an optimizer is built over them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from primer.errors import InputError
from primer.optim.chained import SparseAdam

OptimizerFactory = Callable[..., Optimizer]

TAKE_SPARSE = (SparseAdam, torch.optim.SparseAdam, torch.optim.SGD, torch.optim.Adagrad)
"""The optimizers that take sparse gradients."""

FUSED_DEVICES = ("cpu", "cuda", "mps")


def decayed(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters that regularization shrinks, and the others: biases, norms and other vectors, and
    embeddings with sparse gradients, which a penalty on all rows would make dense."""
    norms = {id(p) for layer in model.modules() if "Norm" in type(layer).__name__ for p in layer.parameters(False)}
    shrunk: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (
                shrunk if parameter.ndim > 1 and id(parameter) not in norms and not _is_sparse(parameter) else others
            ).append(parameter)
    return shrunk, others


def penalizes(factory: OptimizerFactory) -> bool:
    """Whether L2 has to be added to the loss, because the optimizer has no ``weight_decay`` of its own for a part of
    the parameters."""
    return _class_of(factory) is LBFGS or "weight_decay" not in _parameters(factory)


def rate_factors(depth_groups: list[list[nn.Module]], lowest: float) -> dict[int, float]:
    """What the learning rate of each parameter, by its ``id``, is multiplied by: ``lowest`` in the first group, 1 in
    the last one, and a geometric series between.

    Raises:
        ValueError: where ``lowest`` is not in (0, 1].
    """
    if not 0 < lowest <= 1:
        raise InputError(f"transfer.lowest_rate must be more than 0 and at most 1, not {lowest}")
    last = max(1, len(depth_groups) - 1)
    return {
        id(parameter): lowest ** (1 - place / last)
        for place, group in enumerate(depth_groups)
        for layer in group
        for parameter in layer.parameters()
    }


def build_optimizer(
    factory: OptimizerFactory,
    model: nn.Module,
    l2: float = 0.0,
    fused: bool = True,
    factors: dict[int, float] | None = None,
) -> Optimizer:
    """The optimizer over the trainable parameters of a model.

    Args:
        factory: an optimizer class, or a partial of one.
        model: whose parameters are optimized.
        l2: the coefficient of L2 regularization, as the optimizer's ``weight_decay``; never on biases and norms.
            Left out where the optimizer has none (see ``penalizes``).
        fused: False forbids an optimizer's fused implementation, which is used where it is asked for and possible.
        factors: of the learning rate, by the ``id`` of a parameter, as ``rate_factors`` gives them; 1 where not named.

    Raises:
        ValueError: where there is nothing to train, l2 is negative, or the partial sets a weight decay.
    """
    if l2 < 0:
        raise InputError(f"regularization.l2 must be at least 0, not {l2}")
    if "weight_decay" in getattr(factory, "keywords", {}):
        raise InputError("optimizer.weight_decay would act on biases and norms too: set regularization.l2 in its place")
    weights, others = decayed(model)
    if not weights + others:
        raise InputError(f"{type(model).__name__} has no parameters to train")
    sparse = any(_is_sparse(parameter) for parameter in others)
    if sparse and _class_of(factory) not in TAKE_SPARSE:
        raise InputError(
            f"{_class_of(factory).__name__} does not take sparse gradients: use optimizer=sparse_adam, sgd or adagrad, "
            "or model.sparse=false"
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
    """Parameters or groups, in groups of one factor each, under ``factor``."""
    groups = parameters if isinstance(parameters[0], dict) else [{"params": parameters}]
    parts: list[dict[str, Any]] = []
    for group in groups:
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
        parts += [{**group, "params": some, "factor": factor} for factor, some in by_factor.items()]
    return parts


def _is_sparse(parameter: nn.Parameter) -> bool:
    return getattr(parameter, "sparse", False)


def _can_fuse(parameters: Iterable[nn.Parameter]) -> bool:
    return all(p.device.type in FUSED_DEVICES and torch.is_floating_point(p) for p in parameters)


def _class_of(factory: OptimizerFactory) -> Any:
    return getattr(factory, "func", factory)


def _parameters(factory: OptimizerFactory) -> set[str]:
    return set(inspect.signature(_class_of(factory)).parameters)
