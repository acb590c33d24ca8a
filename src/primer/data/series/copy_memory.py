"""The copying memory task: repeat symbols after a long delay."""

from __future__ import annotations

from typing import Any

import torch

from primer.batch import Batch
from primer.data.readers.vocabulary import SPECIAL
from primer.data.series.generated import Generated
from primer.spec import Spec, Tags, Tokens

SYMBOLS = tuple("12345678")
REMEMBERED = 10


class CopyMemory(Generated):
    r"""Sequences of T + 20 steps: ten symbols from an alphabet of eight, T - 1 blanks, and eleven marks. The target is
    blank for T + 10 steps, followed by the ten symbols, one at each of the last ten marks (Hochreiter and Schmidhuber
    1997; in this form Arjovsky et al. 2016 and Bai et al. 2018).

    A model without memory predicts blanks until the last ten marks and then guesses, which gives a cross-entropy of
    :math:`10 \ln 8 / (T + 20)` per step and an accuracy of at most 1/8 on the symbols.

    Args:
        length: delay T.
        samples: number of training samples; validation and test samples are additional, see ``Generated``.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``length`` or ``samples`` is less than 1.
    """

    inputs = Tokens
    targets = Tags

    def __init__(self, length: int = 100, samples: int = 10_000, **kwargs: Any) -> None:
        super().__init__(length, samples, shortest=1, **kwargs)

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        symbols = torch.randint(1, len(SYMBOLS) + 1, (count, REMEMBERED), generator=generator)
        mark = len(SYMBOLS) + 1
        steps = torch.cat(
            [symbols, symbols.new_zeros(count, self.length - 1), symbols.new_full((count, REMEMBERED + 1), mark)], dim=1
        )
        targets = torch.cat([symbols.new_zeros(count, self.length + REMEMBERED), symbols], dim=1)
        return Batch(steps + len(SPECIAL), targets)

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Tokens((*SPECIAL, "blank", *SYMBOLS, "mark")), Tags(("blank", *SYMBOLS)))
