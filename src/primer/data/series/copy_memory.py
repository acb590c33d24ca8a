"""Copying memory: symbols to repeat after a long pause."""

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
    r"""Sequences of T + 20 steps: ten symbols out of eight, T - 1 blanks, and eleven marks. The target is blank for
    T + 10 steps and then repeats the ten symbols, one at each of the last marks (Hochreiter and Schmidhuber 1997; in
    this form Arjovsky et al. 2016 and Bai et al. 2018).

    Who remembers nothing says blank until the marks and then guesses: a cross-entropy of :math:`10 \ln 8 / (T + 20)` a
    step, and at best an eighth of the symbols.

    Args:
        length: T.
        samples: for training; as ``Generated`` says, validation and test come on top.
        **kwargs: as ``DataModule`` takes them.

    Raises:
        ValueError: for a length under 1, or no sample.
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
