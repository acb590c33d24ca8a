"""Learning-rate schedules: PyTorch's, with their length taken from the run and a warm-up before any of them."""

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
"""What schedulers call the length of a run."""

ENDLESS = 2**62
"""Longer than any run."""


class Schedule:
    """How the learning rate of an optimizer moves in the course of a run.

    Args:
        scheduler: a class of ``torch.optim.lr_scheduler`` or a partial of one; None for a constant rate. Where it
            takes a length (``T_max``, ``total_steps`` or ``total``) and none is given, that of the run is filled in.
        interval: what a step of the schedule is, a training ``step`` or an ``epoch``.
        monitor: the metric that a plateau is seen in.
        warmup: the number of intervals in which the rate rises linearly to its full value, before the schedule
            starts; a fraction less than 1 is a share of the run. For the one-cycle schedule, which has a rise of its
            own, it is the length of that.

    Raises:
        ValueError: for a negative warm-up, or a plateau that is looked for each step.
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
            raise InputError("scheduler.interval must be epoch for a plateau: a metric is measured once an epoch")
        self.scheduler, self.interval, self.monitor, self.warmup = scheduler, interval, monitor, warmup

    def build(self, optimizer: Optimizer, steps: float, epochs: float) -> list[dict[str, Any]]:
        """What Lightning wants of the schedulers: dictionaries of scheduler, interval and monitor.

        Args:
            optimizer: whose learning rate is moved.
            steps, epochs: the length of the run.

        Raises:
            ValueError: where the warm-up is as long as the run.
        """
        total = steps if self.interval == "step" else epochs
        if math.isinf(total):
            self._check_endless()
        total = int(min(total, ENDLESS))
        warmup = round(self.warmup * total) if self.warmup < 1 else round(self.warmup)
        if warmup and warmup >= total:
            raise InputError(f"scheduler.warmup={self.warmup} leaves nothing of a run of {total} {self.interval}s")
        accepted = set() if self.scheduler is None else set(inspect.signature(_class_of(self.scheduler)).parameters)
        if "pct_start" in accepted and warmup:
            return [self._entry(self._main(optimizer, total, accepted, pct_start=(warmup + 1) / total))]
        if self.scheduler is not None and _class_of(self.scheduler) is ReduceLROnPlateau:
            rise = [self._entry(_rise(optimizer, warmup))] if warmup else []
            main = self._main(optimizer, total, accepted)
            main.cooldown_counter = warmup  # type: ignore[attr-defined]  # Until then, no epoch counts as one without progress.
            return [*rise, self._entry(main)]
        if self.scheduler is None:
            return [self._entry(_rise(optimizer, warmup))] if warmup else []
        if not warmup:
            return [self._entry(self._main(optimizer, total, accepted))]
        rise = _rise(optimizer, warmup)
        main = self._main(optimizer, total - warmup, accepted)
        return [self._entry(SequentialLR(optimizer, [rise, main], milestones=[warmup]))]

    def _check_endless(self) -> None:
        """Raises ``InputError`` for a schedule that depends on the length of the run."""
        accepted = set() if self.scheduler is None else set(inspect.signature(_class_of(self.scheduler)).parameters)
        given = getattr(self.scheduler, "keywords", {})
        if 0 < self.warmup < 1 or any(key in accepted and given.get(key) is None for key in LENGTHS):
            raise InputError("this schedule needs the length of the run: set trainer.max_epochs or trainer.max_steps")

    def rebuild(self, optimizer: Optimizer, steps: float, epochs: float, taken: int) -> list[dict[str, Any]]:
        """What ``build`` gives, after ``taken`` intervals of it: a run that is resumed with another length follows the
        schedule of that length from here on.

        Raises:
            ValueError: where the run is shorter than that.
        """
        total = steps if self.interval == "step" else epochs
        total = int(min(total, ENDLESS))
        if taken > total:
            raise InputError(f"resume: {taken} {self.interval}s are done, and the run is only {total} long")
        for group in optimizer.param_groups:
            group["lr"] = group.pop("initial_lr", group["lr"])
        entries = self.build(optimizer, steps, epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Torch misses the steps that were taken before.
            for entry in entries * taken:
                entry["scheduler"].step()
        return entries

    def _main(self, optimizer: Optimizer, total: int, accepted: set[str], **more: Any) -> LRScheduler:
        assert self.scheduler is not None
        given = getattr(self.scheduler, "keywords", {})
        lengths = {key: max(1, total) for key in LENGTHS if key in accepted and given.get(key) is None}
        if "max_lr" in accepted and isinstance(highest := given.get("max_lr"), int | float):
            more["max_lr"] = [highest * group.get("factor", 1.0) for group in optimizer.param_groups]
        try:
            return self.scheduler(optimizer, **lengths, **more)
        except ZeroDivisionError as error:
            raise InputError(f"scheduler: a rise of one {self.interval} is none; scheduler.warmup sets it") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"scheduler: {error}") from error

    def _entry(self, scheduler: LRScheduler) -> dict[str, Any]:
        return {"scheduler": scheduler, "interval": self.interval, "monitor": self.monitor}


class Formula(LambdaLR):
    """The learning rate times a formula of ``t``, the number of intervals so far, and ``T``, that of the run.

    Args:
        optimizer: whose learning rate is moved.
        formula: numbers, ``t``, ``T``, ``pi``, + - * / **, and the functions min, max, sqrt, exp, log, cos and sin:
            ``1 / (1 + 0.1 * t)``.
        total: ``T``.

    Raises:
        ValueError: for a formula that holds anything else.
    """

    def __init__(self, optimizer: Optimizer, formula: str, total: int = 1) -> None:
        tree = parse(formula, total)
        super().__init__(optimizer, lambda t: float(evaluate(tree, {"t": t, "T": total, "pi": math.pi})))


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


def parse(formula: str, total: int = 1) -> ast.expr:
    """The syntax tree of a formula, once it is seen that it has a value at the start and at the end of a run."""
    try:
        tree = ast.parse(str(formula), mode="eval").body
        for t in (0, total):
            float(evaluate(tree, {"t": t, "T": total, "pi": math.pi}))
    except InputError:
        raise
    except (SyntaxError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(f"scheduler.formula {formula!r} cannot be evaluated: {error}") from None
    return tree


def evaluate(node: ast.expr, names: dict[str, float]) -> Any:
    """The value of a formula, computed without running any code of its."""
    match node:
        case ast.Constant(value=int() | float()):
            return node.value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.UnaryOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](evaluate(node.operand, names))
        case ast.BinOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](evaluate(node.left, names), evaluate(node.right, names))
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and not node.keywords:
            return FUNCTIONS[name](*(evaluate(argument, names) for argument in node.args))
    raise InputError(
        f"{ast.unparse(node)!r} has no place in a formula: numbers, t, T, pi, + - * / **, {', '.join(FUNCTIONS)}"
    )


def _rise(optimizer: Optimizer, warmup: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)


def _class_of(factory: Any) -> Any:
    return getattr(factory, "func", factory)
