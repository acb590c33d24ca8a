"""PyTorch's learning-rate schedules, with their length taken from the run and an optional warm-up."""

from __future__ import annotations

import ast
import inspect
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from primer.errors import InputError

LENGTHS = ("T_max", "total_steps", "total")
"""Names of the schedulers' arguments for the length of a run."""

ENDLESS = 2**62
"""Longer than any run."""


class Schedule:
    """The learning-rate schedule of a run, with an optional linear warm-up.

    Args:
        scheduler: a class of ``torch.optim.lr_scheduler`` or a partial of one; None for a constant learning rate. If
            it accepts a length (``T_max``, ``total_steps`` or ``total``) and none is given, the length of the run is
            used.
        interval: whether the schedule advances after every ``step`` or after every ``epoch``.
        monitor: the metric that ``ReduceLROnPlateau`` monitors.
        warmup: the number of intervals over which the learning rate increases linearly to its full value before the
            schedule starts; a value below 1 is a fraction of the run. The one-cycle schedule has a warm-up phase of its
            own, whose length this sets.

    Raises:
        InputError: for a negative warm-up, or for ``ReduceLROnPlateau`` with ``interval="step"``.
    """

    def __init__(
        self,
        scheduler: Callable[..., LRScheduler] | None = None,
        interval: Literal["step", "epoch"] = "epoch",
        monitor: str | None = "val/loss",
        warmup: float = 0,
    ) -> None:
        if warmup < 0:
            raise InputError(f"scheduler.warmup must be at least 0, not {warmup}")
        if interval == "step" and _class_of(scheduler) is ReduceLROnPlateau:
            raise InputError(
                "scheduler.interval must be epoch for ReduceLROnPlateau: metrics are logged once per epoch"
            )
        self.scheduler, self.interval, self.monitor, self.warmup = scheduler, interval, monitor, warmup

    def build(self, optimizer: Optimizer, steps: float, epochs: float) -> list[dict[str, Any]]:
        """Returns scheduler configurations for Lightning: dictionaries of scheduler, interval and monitor.

        Args:
            optimizer: the optimizer whose learning rate is scheduled.
            steps, epochs: the length of the run.

        Raises:
            InputError: if the warm-up is not shorter than the run, or the scheduler rejects its arguments.
        """
        total = steps if self.interval == "step" else epochs
        if math.isinf(total):
            self._check_endless()
        total = int(min(total, ENDLESS))
        warmup = round(self.warmup * total) if self.warmup < 1 else round(self.warmup)
        if warmup and warmup >= total:
            raise InputError(f"scheduler.warmup={self.warmup} must be shorter than the run of {total} {self.interval}s")
        accepted = set() if self.scheduler is None else set(inspect.signature(_class_of(self.scheduler)).parameters)
        if "pct_start" in accepted and warmup + 1 >= total > 1:
            raise InputError(f"scheduler.warmup={self.warmup} leaves no {self.interval} for the rest of the cycle")
        if "pct_start" in accepted and warmup:
            return [self._entry(self._main(optimizer, total, accepted, pct_start=(warmup + 1) / total))]
        if self.scheduler is not None and _class_of(self.scheduler) is ReduceLROnPlateau:
            ramp = [self._entry(_linear_warmup(optimizer, warmup))] if warmup else []
            main = self._main(optimizer, total, accepted)
            main.cooldown_counter = warmup  # type: ignore[attr-defined]  # Epochs of the warm-up do not count as bad.
            return [*ramp, self._entry(main)]
        if self.scheduler is None:
            return [self._entry(_linear_warmup(optimizer, warmup))] if warmup else []
        if not warmup:
            return [self._entry(self._main(optimizer, total, accepted))]
        ramp = _linear_warmup(optimizer, warmup)
        main = self._main(optimizer, total - warmup, accepted)
        return [self._entry(SequentialLR(optimizer, [ramp, main], milestones=[warmup]))]

    def _check_endless(self) -> None:
        """Raises ``InputError`` for a schedule that depends on the length of the run."""
        accepted = set() if self.scheduler is None else set(inspect.signature(_class_of(self.scheduler)).parameters)
        given = getattr(self.scheduler, "keywords", {})
        if 0 < self.warmup < 1 or any(key in accepted and given.get(key) is None for key in LENGTHS):
            raise InputError("this schedule needs the length of the run: set trainer.max_epochs or trainer.max_steps")

    def rebuild(self, optimizer: Optimizer, steps: float, epochs: float, taken: int) -> list[dict[str, Any]]:
        """Returns what ``build`` returns, advanced by ``taken`` intervals: a run that is resumed with another length
        follows the schedule of the new length from there on.

        Raises:
            InputError: if the run is shorter than ``taken``.
        """
        total = steps if self.interval == "step" else epochs
        total = int(min(total, ENDLESS))
        if taken > total:
            raise InputError(
                f"resume: {taken} {self.interval}s are done, but the run is only {total} {self.interval}s long"
            )
        for group in optimizer.param_groups:
            group["lr"] = group.pop("initial_lr", group["lr"])
        entries = self.build(optimizer, steps, epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch expects optimizer.step() before each of these steps.
            for entry in entries * taken:
                entry["scheduler"].step()
        return entries

    def _main(self, optimizer: Optimizer, total: int, accepted: set[str], **more: Any) -> LRScheduler:
        assert self.scheduler is not None
        given = getattr(self.scheduler, "keywords", {})
        lengths = {key: max(1, total) for key in LENGTHS if key in accepted and given.get(key) is None}
        if "max_lr" in accepted and isinstance(max_lr := given.get("max_lr"), int | float):
            more["max_lr"] = [max_lr * group.get("factor", 1.0) for group in optimizer.param_groups]
        try:
            return self.scheduler(optimizer, **lengths, **more)
        except ZeroDivisionError as error:
            raise InputError(f"scheduler: a warm-up of 1 {self.interval} is too short; set scheduler.warmup") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"scheduler: {error}") from error

    def _entry(self, scheduler: LRScheduler) -> dict[str, Any]:
        return {"scheduler": scheduler, "interval": self.interval, "monitor": self.monitor}


class Formula(LambdaLR):
    """Multiplies the learning rate by a formula of ``t``, the number of intervals so far, and ``T``, their total number
    in the run.

    Args:
        optimizer: the optimizer whose learning rate is scheduled.
        formula: an expression of numbers, ``t``, ``T``, ``pi``, + - * / **, and the functions min, max, sqrt, exp, log,
            cos and sin, for example ``1 / (1 + 0.1 * t)``.
        total: ``T``.

    Raises:
        InputError: if the formula contains anything else, cannot be evaluated, or is negative or infinite.
    """

    def __init__(self, optimizer: Optimizer, formula: str, total: int = 1) -> None:
        tree = parse_formula(formula, total)
        super().__init__(optimizer, lambda t: rate_factor(formula, tree, t, total))


CHECKED = 1000
"""The number of times in a run at which a formula is evaluated before it."""

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "cos": math.cos,
    "sin": math.sin,
}


def parse_formula(formula: str, total: int = 1) -> ast.expr:
    """Parses a formula, and checks its values over the run."""
    try:
        tree = ast.parse(str(formula), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"scheduler.formula {formula!r} cannot be evaluated: {error}") from None
    for t in sorted({round(total * k / CHECKED) for k in range(CHECKED + 1)}):
        rate_factor(formula, tree, t, total)
    return tree


def rate_factor(formula: str, tree: ast.expr, t: int, total: int) -> float:
    """Returns the value of a formula.

    Raises:
        InputError: if it cannot be evaluated, or is negative or infinite.
    """
    try:
        value = float(evaluate_formula(tree, {"t": float(t), "T": float(total), "pi": math.pi}))
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"scheduler.formula {formula!r} cannot be evaluated at t={t}: {error}") from None
    if not 0 <= value < math.inf:
        raise InputError(
            f"scheduler.formula {formula!r} is {value:g} at t={t}, but a learning rate must be at least 0 and finite"
        )
    return value


def evaluate_formula(node: ast.expr, names: dict[str, float]) -> Any:
    """Evaluates a formula without executing it as Python code."""
    match node:
        case ast.Constant(value=int() | float()):
            return float(node.value)  # type: ignore[arg-type]  # Powers of integers may take forever.
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](evaluate_formula(node.operand, names))
        case ast.BinOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](evaluate_formula(node.left, names), evaluate_formula(node.right, names))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and not node.keywords:
            return FUNCTIONS[name](*(evaluate_formula(argument, names) for argument in node.args))
    raise InputError(
        f"{ast.unparse(node)!r} is not allowed in a formula: use numbers, t, T, pi, + - * / **, {', '.join(FUNCTIONS)}"
    )


def _linear_warmup(optimizer: Optimizer, warmup: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)


def _class_of(factory: Any) -> Any:
    return getattr(factory, "func", factory)
