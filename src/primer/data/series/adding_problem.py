"""The adding problem: add two marked numbers in a long sequence."""

from __future__ import annotations

from typing import Any, Literal

import torch

from primer.batch import Batch
from primer.data.loading.scaling import moments
from primer.data.series.generated import Generated
from primer.errors import InputError
from primer.spec import Series, Spec, Values


class AddingProblem(Generated):
    r"""Sequences of T steps of two numbers: one drawn uniformly from [0, 1], and a marker, which is 1 at two steps and
    0 elsewhere. The target is the sum of the two marked numbers (Hochreiter and Schmidhuber 1997, experiment 4; in this
    form Le et al. 2015 and Bai et al. 2018).

    A model without memory predicts 1 and has a mean squared error of :math:`2 \cdot \tfrac{1}{12} = 0.1667`, the
    variance of the sum (Le et al. print 0.1767).

    Args:
        length: sequence length T.
        samples: number of training samples; validation and test samples are additional, see ``Generated``.
        marks: positions of the markers: two ``anywhere``, T / 3 apart on average (Bai et al. 2018), or one in each of
            the two ``halves`` (Arjovsky et al. 2016), T / 2 apart on average.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``length`` is less than 2, ``samples`` is less than 1, or ``marks`` is unknown.
    """

    inputs = Series
    targets = Values

    def __init__(
        self, length: int = 200, samples: int = 50_000, marks: Literal["anywhere", "halves"] = "anywhere", **kwargs: Any
    ) -> None:
        super().__init__(length, samples, shortest=2, **kwargs)
        if marks not in ("anywhere", "halves"):
            raise InputError(f"marks must be one of anywhere, halves, not {marks!r}")
        self.marks = marks

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        steps = torch.zeros(count, self.length, 2)
        steps[..., 0] = torch.rand(count, self.length, generator=generator)
        middle = self.length // 2
        if self.marks == "halves":
            first = torch.randint(middle, (count,), generator=generator)
            second = torch.randint(middle, self.length, (count,), generator=generator)
        else:
            first = torch.randint(self.length, (count,), generator=generator)
            second = (first + torch.randint(1, self.length, (count,), generator=generator)) % self.length
        marked = torch.stack([first, second], dim=1)
        steps[..., 1].scatter_(1, marked, 1.0)
        return Batch(steps, steps[..., 0].gather(1, marked).sum(1, keepdim=True))

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Series(2), Values(("sum",), *moments(train.targets)))
