"""How often a decoder is fed the truth while it learns."""

from __future__ import annotations

import math

from primer.errors import InputError


class ScheduledSampling:
    """The probability that a step of training is fed the true token and not the predicted one: from epoch to epoch it
    falls or rises in equal steps (Bengio et al. 2015, section 2.4, linear decay). It depends on the number of the
    epoch alone, so a resumed run goes on with the same.

    Args:
        first: in the first epoch.
        last: in the last epoch; None for the same.

    Raises:
        ValueError: for a probability outside [0, 1].
    """

    def __init__(self, first: float, last: float | None = None) -> None:
        self.first, self.last = first, first if last is None else last
        for name, share in (("teacher_forcing", self.first), ("teacher_forcing_end", self.last)):
            if not 0 <= share <= 1:
                raise InputError(f"{name} must be from 0 to 1, not {share}")

    def at(self, epoch: int, epochs: int | float) -> float:
        """The probability in an epoch of a run of some, counted from 0."""
        if self.first != self.last and math.isinf(epochs):
            raise InputError("teacher_forcing_end needs the length of the run: set trainer.max_epochs")
        done = min(1.0, epoch / max(1, epochs - 1))
        return (1 - done) * self.first + done * self.last
