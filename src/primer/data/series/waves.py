"""Generated series whose classes differ in the shape of a wave, and in the order of two channels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from primer.data.base import Part, Records
from primer.data.readers.ts_file import LabeledSeries
from primer.data.series.labeled_series import LabeledSeriesData
from primer.errors import InputError

SHAPES = ("sine", "square", "sawtooth")
LEADERS = ("a", "b")
PERIODS = 8, 16
"""The range of the period of a wave, in steps."""


class Waves(LabeledSeriesData):
    """Noisy waves on two channels, ``a`` and ``b``, beside a third one that says nothing of the class.

    A class is the shape of the wave (a sine, a square or a sawtooth) and which of the two channels is a quarter of a
    period ahead of the other. The period, the phase and the amplitude are random, and so is the length. Channel ``c``
    is a sine of another period.

    Args:
        samples: number of series in all parts.
        shortest, longest: the range of the lengths, in steps.
        noise: standard deviation of the noise; that of a wave is between 0.5 and 1.
        data_seed: seed of the series.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a number is out of range.
    """

    names = ("a", "b", "c")

    def __init__(
        self,
        samples: int = 2000,
        shortest: int = 40,
        longest: int = 120,
        noise: float = 0.5,
        data_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, least in (("samples", samples, 1), ("shortest", shortest, 1), ("noise", noise, 0)):
            if value < least:
                raise InputError(f"{name} must be at least {least}, not {value}")
        if longest < shortest:
            raise InputError(f"longest={longest} must be at least shortest={shortest}")
        self.samples, self.shortest, self.longest = samples, shortest, longest
        self.noise, self.data_seed = noise, data_seed

    def read(self) -> dict[Part, Records]:
        generator = torch.Generator().manual_seed(self.data_seed)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*shape, 1, generator=generator)

        n = self.samples
        lengths = torch.randint(self.shortest, self.longest + 1, (n,), generator=generator).tolist()
        kinds = torch.arange(n) % (len(SHAPES) * len(LEADERS))
        steps = torch.arange(self.longest)
        phase = steps / uniform(*PERIODS, n) + uniform(0, 1, n)
        other = steps / uniform(*PERIODS, n) + uniform(0, 1, n)
        lag = torch.where(kinds % len(LEADERS) == 0, 0.25, -0.25)[:, None]
        channels = [wave(part, kinds // len(LEADERS)) for part in (phase, phase - lag)]
        amplitudes = uniform(0.5, 1, n, 3)
        values = amplitudes.transpose(1, 2) * torch.stack([*channels, wave(other, torch.zeros_like(kinds))], -1)
        values = values + self.noise * torch.randn(values.shape, generator=generator)
        series = [
            LabeledSeries(row[:length].double().numpy(), class_name(kind), f"series {k}")
            for k, (row, length, kind) in enumerate(zip(values, lengths, kinds.tolist(), strict=True))
        ]
        return {"train": series}


def class_name(kind: int) -> str:
    """Returns the name of a class, such as ``sine, a first``."""
    return f"{SHAPES[kind // len(LEADERS)]}, {LEADERS[kind % len(LEADERS)]} first"


def wave(phase: Tensor, shape: Tensor) -> Tensor:
    """Returns waves of mean 0 and standard deviation 1.

    Args:
        phase: ``(samples, time)`` in periods.
        shape: ``(samples,)`` indices into ``SHAPES``.
    """
    sine = (2 * math.pi * phase).sin()
    kinds = torch.stack([math.sqrt(2) * sine, sine.sign(), math.sqrt(12) * (phase % 1 - 0.5)])
    return kinds[shape, torch.arange(len(shape))]
