"""Stacked optimizers take the same steps as those of PyTorch, each model with its own hyper-parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from primer.optim.stacked import RULES, StackedOptimizer, hyper_parameters

MODELS, ROWS, STEPS = 3, 4, 5

CASES: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("SGD", {}, [{"lr": 0.1}, {"lr": 0.3}, {"lr": 0.01}]),
    ("SGD", {"lr": 0.1}, [{"momentum": 0.9}, {"momentum": 0.0}, {"momentum": 0.5, "dampening": 0.2}]),
    ("SGD", {"lr": 0.1, "nesterov": True}, [{"momentum": 0.9}, {"momentum": 0.8}, {"momentum": 0.1}]),
    ("Adam", {}, [{"lr": 0.1}, {"betas": (0.8, 0.9)}, {"eps": 0.1}]),
    ("Adam", {"amsgrad": True}, [{"lr": 0.1}, {"betas": (0.8, 0.9)}, {"eps": 0.1}]),
    ("AdamW", {}, [{"lr": 0.1}, {"betas": (0.8, 0.9)}, {"lr": 0.3}]),
    ("RMSprop", {}, [{"lr": 0.1}, {"alpha": 0.5}, {"eps": 0.1}]),
    ("RMSprop", {"centered": True, "lr": 0.1}, [{"momentum": 0.9}, {}, {"momentum": 0.5}]),
    ("Adagrad", {"initial_accumulator_value": 0.1}, [{"lr": 0.1}, {"lr_decay": 0.5}, {"eps": 0.1}]),
    ("Adadelta", {}, [{"lr": 0.1}, {"rho": 0.5}, {"eps": 0.1}]),
    ("Adamax", {}, [{"lr": 0.1}, {"betas": (0.8, 0.9)}, {"eps": 0.1}]),
]


def groups(weight: Tensor, bias: Tensor, decay: float) -> list[dict[str, Any]]:
    return [{"params": [weight], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]


@pytest.mark.parametrize("decays", [(0.0, 0.0, 0.0), (0.1, 0.0, 0.01)], ids=["no decay", "decay"])
@pytest.mark.parametrize(("name", "shared", "own"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_equals_torch(name: str, shared: dict[str, Any], own: list[dict[str, Any]], decays: tuple[float, ...]) -> None:
    kind = getattr(torch.optim, name)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(MODELS, 2 * ROWS, generator=generator)
    gradients = torch.randn(STEPS, MODELS, 2 * ROWS, generator=generator)
    parameters = [(nn.Parameter(row[:ROWS].clone()), nn.Parameter(row[ROWS:].clone())) for row in start]
    optimizers = [
        kind(groups(*pair, decay), **shared, **settings)
        for pair, settings, decay in zip(parameters, own, decays, strict=True)
    ]
    values = start.clone()
    stacked = StackedOptimizer(optimizers, values, torch.arange(2 * ROWS) < ROWS)
    for first, last in ((0, 3), (3, STEPS)):  # Two epochs, of which the second has lower rates.
        hyper = [[hyper_parameters(optimizer) for optimizer in optimizers] for _ in range(first, last)]
        for step, coefficients in enumerate(stacked.coefficients(hyper, values.device), first):
            stacked.step(values, gradients[step], coefficients)
            for optimizer, (weight, bias), gradient in zip(optimizers, parameters, gradients[step], strict=True):
                weight.grad, bias.grad = gradient[:ROWS], gradient[ROWS:]
                optimizer.step()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] /= 2
    expected = torch.stack([torch.cat(pair).detach() for pair in parameters])
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-6)
    rule = RULES[kind]
    for index, (optimizer, (weight, _)) in enumerate(zip(optimizers, parameters, strict=True)):
        saved = {key: value for key, value in optimizer.state[weight].items() if isinstance(value, Tensor)}
        assert ("step" in saved) == rule.counts
        assert saved.keys() - {"step"} == set(rule.state(optimizer.param_groups[0]))
        for key in saved.keys() - {"step"}:
            torch.testing.assert_close(stacked.state[key][index, :ROWS], saved[key].detach(), rtol=1e-5, atol=1e-6)
