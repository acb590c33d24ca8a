"""Optimizers of many models at once, each with hyper-parameters of its own.

The parameters of all models are one matrix with a row per model, so that a step is a few operations however many models
and layers there are. What follows from the hyper-parameters alone, such as a learning rate with its bias correction, is
computed beforehand for all steps of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Optimizer, RMSprop

Numbers = dict[str, Tensor]
"""Hyper-parameters by name, ``(steps, models)`` in double precision; or coefficients of one step, ``(models, 1)``."""


class Rule(NamedTuple):
    """The update rule of an optimizer.

    Attributes:
        coefficients: computes coefficients from hyper-parameters and the numbers of the steps, ``(steps, 1)`` from 1.
        update: updates the values and the state in place, both ``(models, parameters)``, with coefficients of one step.
        state: returns the names of the state in ``torch.optim``, for a parameter group.
        initial: the name of the hyper-parameter that the state starts from; by default, it starts from 0.
        counts: whether the state in ``torch.optim`` has the number of steps.
    """

    coefficients: Callable[[Numbers, Tensor], Numbers]
    update: Callable[[Tensor, Tensor, Numbers, Numbers], None]
    state: Callable[[dict[str, Any]], tuple[str, ...]]
    initial: str | None = None
    counts: bool = True


class StackedOptimizer:
    """The optimizer of many models.

    Args:
        optimizers: the optimizer of each model, all of one class, with the same settings but for numbers. Only their
            parameter groups are read, at the start of each epoch, so schedules may change them.
        decayed: ``(parameters,)`` which parameters weight decay applies to.

    Attributes:
        state: by name, ``(models, parameters)``.
        steps: the number of steps taken.
    """

    def __init__(self, optimizers: Sequence[Optimizer], values: Tensor, decayed: Tensor) -> None:
        self.rule, self.decayed, self.steps = RULES[type(optimizers[0])], decayed.to(values), 0
        group = optimizers[0].param_groups[0]
        # Some jobs may have momentum and others not.
        names = dict.fromkeys(name for optimizer in optimizers for name in self.rule.state(optimizer.param_groups[0]))
        self.decoupled = bool(group.get("decoupled_weight_decay"))
        self.flags = {name: group[name] for name in FLAGS if name in group}
        self.state: dict[str, Tensor] = {name: torch.zeros_like(values) for name in names}
        if self.rule.initial:
            start = torch.tensor([optimizer.param_groups[0][self.rule.initial] for optimizer in optimizers])
            for value in self.state.values():
                value += start.to(value)[:, None]

    def load_state(self, states: Sequence[dict[str, Tensor]], steps: int) -> None:
        """Continues from a state: for each model and name, ``(parameters,)``. Names that a model lacks stay as they
        are."""
        for row, state in enumerate(states):
            for name, value in state.items():
                self.state[name][row] = value.to(self.state[name])
        self.steps = steps

    def coefficients(self, hyper: list[list[dict[str, Any]]], device: torch.device) -> list[Numbers]:
        """Returns the coefficients of each step of an epoch.

        Args:
            hyper: for each step and model, the hyper-parameters, as ``hyper_parameters`` returns them.
            device: where the models are.
        """
        names = [name for name in hyper[0][0] if all(name in one for one in hyper[0])]  # Schedules add some of theirs.
        table = torch.tensor([[[one[name] for name in names] for one in step] for step in hyper], dtype=torch.float64)
        numbers = dict(zip(names, table.unbind(2), strict=True))
        steps = torch.arange(1, len(hyper) + 1, dtype=torch.float64)[:, None] + self.steps
        found = self.rule.coefficients(numbers, steps)
        if bool(numbers["weight_decay"].any()):
            found |= {"decay": numbers["lr"] * numbers["weight_decay"] if self.decoupled else numbers["weight_decay"]}
        stacked = torch.stack([value.expand_as(numbers["lr"]) for value in found.values()], 1)
        on_device = stacked.float().to(device, non_blocking=True)[..., None]
        return [dict(zip(found, step.unbind(0), strict=True)) for step in on_device.unbind(0)]

    def step(self, values: Tensor, gradient: Tensor, coefficients: Numbers) -> None:
        """Updates the values of all models in place."""
        if "decay" in coefficients:
            decay = coefficients["decay"] * self.decayed
            if self.decoupled:
                values.sub_(decay * values)
            else:
                gradient = gradient + decay * values
        self.rule.update(values, gradient, self.state, coefficients | self.flags)
        self.steps += 1


def hyper_parameters(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the numbers that the rule of an optimizer depends on. Its groups differ in nothing but weight decay."""
    group = optimizer.param_groups[0]
    numbers = {name: value for name, value in group.items() if isinstance(value, int | float)}
    numbers |= {f"beta{index + 1}": beta for index, beta in enumerate(group.get("betas", ()))}
    return numbers | {"weight_decay": max(group.get("weight_decay", 0.0) for group in optimizer.param_groups)}


FLAGS = ("nesterov", "amsgrad", "centered", "decoupled_weight_decay")
"""Settings of optimizers that all models must share."""


def _sgd_coefficients(h: Numbers, step: Tensor) -> Numbers:
    momentum = h["momentum"]
    gain = torch.where((step == 1) | (momentum == 0), 1.0, 1 - h["dampening"])
    return {"lr": h["lr"], "momentum": momentum, "gain": gain}


def _sgd(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    if "momentum_buffer" in state:
        buffer = state["momentum_buffer"].mul_(c["momentum"]).add_(gradient * c["gain"])
        gradient = gradient + c["momentum"] * buffer if c["nesterov"] else buffer
    values.sub_(c["lr"] * gradient)


def _adam_coefficients(h: Numbers, step: Tensor) -> Numbers:
    return {
        "gain1": 1 - h["beta1"],
        "gain2": 1 - h["beta2"],
        "rate": h["lr"] / (1 - h["beta1"] ** step),
        "scale": (1 - h["beta2"] ** step).rsqrt(),
        "eps": h["eps"],
    }


def _adam(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    mean = state["exp_avg"].lerp_(gradient, c["gain1"])
    square = state["exp_avg_sq"].lerp_(gradient.square(), c["gain2"])
    if c["amsgrad"]:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    values.addcdiv_(mean * c["rate"], square.sqrt().mul_(c["scale"]).add_(c["eps"]), value=-1)


def _rmsprop_coefficients(h: Numbers, step: Tensor) -> Numbers:
    return {"lr": h["lr"], "gain": 1 - h["alpha"], "momentum": h["momentum"], "eps": h["eps"]}


def _rmsprop(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    square = state["square_avg"].lerp_(gradient.square(), c["gain"])
    if c["centered"]:
        square = square - state["grad_avg"].lerp_(gradient, c["gain"]).square()
    change = gradient / square.sqrt().add_(c["eps"])
    if "momentum_buffer" in state:
        change = state["momentum_buffer"].mul_(c["momentum"]).add_(change)
    values.sub_(c["lr"] * change)


def _adagrad_coefficients(h: Numbers, step: Tensor) -> Numbers:
    return {"rate": h["lr"] / (1 + (step - 1) * h["lr_decay"]), "eps": h["eps"]}


def _adagrad(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    total = state["sum"].addcmul_(gradient, gradient)
    values.addcdiv_(gradient * c["rate"], total.sqrt().add_(c["eps"]), value=-1)


def _adadelta_coefficients(h: Numbers, step: Tensor) -> Numbers:
    return {"lr": h["lr"], "gain": 1 - h["rho"], "eps": h["eps"]}


def _adadelta(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    square = state["square_avg"].lerp_(gradient.square(), c["gain"])
    change = gradient * ((state["acc_delta"] + c["eps"]) / (square + c["eps"])).sqrt_()
    state["acc_delta"].lerp_(change.square(), c["gain"])
    values.sub_(c["lr"] * change)


def _adamax_coefficients(h: Numbers, step: Tensor) -> Numbers:
    return {"gain": 1 - h["beta1"], "beta2": h["beta2"], "rate": h["lr"] / (1 - h["beta1"] ** step), "eps": h["eps"]}


def _adamax(values: Tensor, gradient: Tensor, state: Numbers, c: Numbers) -> None:
    mean = state["exp_avg"].lerp_(gradient, c["gain"])
    largest = state["exp_inf"].mul_(c["beta2"])
    torch.maximum(largest, gradient.abs().add_(c["eps"]), out=largest)
    values.addcdiv_(mean * c["rate"], largest, value=-1)


def _adam_state(group: dict[str, Any]) -> tuple[str, ...]:
    return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ()))


def _rmsprop_state(group: dict[str, Any]) -> tuple[str, ...]:
    momentum, centered = ("momentum_buffer",) if group["momentum"] else (), ("grad_avg",) if group["centered"] else ()
    return "square_avg", *momentum, *centered


RULES: dict[type[Optimizer], Rule] = {
    SGD: Rule(_sgd_coefficients, _sgd, lambda group: ("momentum_buffer",) if group["momentum"] else (), counts=False),
    Adam: Rule(_adam_coefficients, _adam, _adam_state),
    AdamW: Rule(_adam_coefficients, _adam, _adam_state),
    RMSprop: Rule(_rmsprop_coefficients, _rmsprop, _rmsprop_state),
    Adagrad: Rule(_adagrad_coefficients, _adagrad, lambda group: ("sum",), initial="initial_accumulator_value"),
    Adadelta: Rule(_adadelta_coefficients, _adadelta, lambda group: ("square_avg", "acc_delta")),
    Adamax: Rule(_adamax_coefficients, _adamax, lambda group: ("exp_avg", "exp_inf")),
}
"""The update rules, by the class of the optimizer."""
