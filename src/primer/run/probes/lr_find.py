"""The learning rate range test (Smith 2017, https://arxiv.org/abs/1506.01186, section 3.3): the learning rate grows
exponentially from step to step, until the loss diverges. A good one lies where the loss falls fastest."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
from lightning import Callback

from primer.errors import InputError
from primer.records import run_folder
from primer.records.console import say
from primer.reports.figures import png
from primer.reports.range_test import draw_range_test
from primer.run.probes.brief import Probe

LOW, HIGH, STEPS = 1e-7, 10.0, 120
"""The first and the last learning rate, and the number of steps: 15 per factor of 10."""

SMOOTHING = 0.85
"""The weight of earlier losses in the moving average."""

SKIPPED = 10
"""The number of steps after which the moving average is reliable."""

DIVERGED = 4.0
"""The test ends when the smoothed loss is this many times the lowest one."""

LEAST_FALL, NOISE = 0.02, 1.3
"""How far the smoothed loss must fall for a suggestion: relative to where it starts, and in standard deviations of the
loss there. Noise alone falls as far in 1 of 100 tests."""

UNDERWAY = 0.25
"""The fraction of its fall after which the loss falls because of the learning rate, and not by chance."""


class RangeTest(Callback):
    """Raises the learning rate in each step, and records it with the loss.

    Attributes:
        rates, losses: the learning rate and the mean loss of each step.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._factors: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        groups = trainer.optimizers[0].param_groups
        if any("lr" not in group for group in groups):
            raise InputError(f"{type(trainer.optimizers[0]).__name__} does not have a learning rate")
        highest = max(group["lr"] for group in groups)
        self._factors = [group["lr"] / highest if highest else 1.0 for group in groups]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        rate = LOW * (HIGH / LOW) ** (trainer.global_step / (STEPS - 1))
        for group, factor in zip(trainer.optimizers[0].param_groups, self._factors, strict=True):
            group["lr"] = rate * factor
        if not self.rates or self.rates[-1] != rate:
            self.rates.append(rate)
            self.losses.append(0.0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not outputs or "loss" not in outputs:
            raise InputError(f"probe=lr_find: {type(pl_module).__name__}.training_step does not return a loss")
        # Lightning divides the loss by the number of accumulated batches, so the sum is their mean.
        self.losses[-1] += float(outputs["loss"])
        smoothed = smooth(self.losses)
        diverged = len(smoothed) > SKIPPED and smoothed[-1] > DIVERGED * min(smoothed) > 0
        if diverged or not math.isfinite(self.losses[-1]):
            trainer.should_stop = True


def find_lr(probe: Probe) -> dict[str, float]:
    """Runs the range test, draws it, and prints the suggested learning rate as an override.

    Raises:
        InputError: if the optimizer does not have a learning rate.
    """
    test = RangeTest()
    probe.train(STEPS, test)
    finite = [k for k, loss in enumerate(test.losses) if math.isfinite(loss)]
    rates, losses = [test.rates[k] for k in finite], [test.losses[k] for k in finite]
    suggested, smoothed = suggest_lr(rates, losses), smooth(losses)
    folder = probe.folder
    run_folder.write(folder / "lr_find.csv", _to_csv(rates, losses, smoothed))
    run_folder.write(folder / "pictures" / "lr_find.png", png(draw_range_test(rates, losses, smoothed, suggested)))
    if suggested is None:
        say("lr_find: the loss fell at no learning rate, so none is suggested; see pictures/lr_find.png")
        return {}
    say("lr_find: the loss falls fastest at this learning rate; see pictures/lr_find.png")
    say(f"optimizer.lr={suggested:g}")
    return {"lr_find/lr": suggested}


def suggest_lr(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Returns the learning rate at which the smoothed loss falls fastest before its minimum, with two digits; None if
    it does not fall. Where the loss is still that of the untrained model, apart from noise, it does not count.

    Args:
        rates: the learning rates, ascending.
        losses: the loss at each.
    """
    smoothed = np.array(smooth(losses))[SKIPPED:]
    if len(smoothed) < SKIPPED:
        return None
    untrained = max(3, len(smoothed) // 3)
    start, lowest = float(np.median(smoothed[:untrained])), int(smoothed.argmin())
    fall, noise = start - smoothed[lowest], float(np.std(losses[SKIPPED : SKIPPED + untrained]))
    if lowest < untrained or fall < max(LEAST_FALL * abs(start), NOISE * noise):
        return None
    above = np.flatnonzero(smoothed[: lowest + 1] > start - UNDERWAY * fall)
    underway = int(above[-1]) if len(above) else 0
    slopes = np.gradient(smoothed, np.log(rates[SKIPPED:]))
    steepest = underway + int(slopes[underway : lowest + 1].argmin())
    return float(f"{rates[SKIPPED + steepest]:.1e}")


def smooth(losses: Sequence[float]) -> list[float]:
    """Returns the exponential moving average, corrected for its start as in Adam."""
    average, smoothed = 0.0, []
    for k, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**k))
    return smoothed


def _to_csv(rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["lr", "loss", "smoothed"])
    writer.writerows(zip(rates, losses, smoothed, strict=True))
    return text.getvalue()
