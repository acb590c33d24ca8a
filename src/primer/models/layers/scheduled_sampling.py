"""Scheduled sampling: a schedule for the teacher forcing of a decoder."""

from __future__ import annotations

import math

from primer.errors import InputError


class ScheduledSampling:
    """The probability that a training step feeds the decoder the true token instead of the predicted one. It changes
    linearly from epoch to epoch (Bengio et al. 2015, section 2.4, linear decay). It depends only on the epoch, so a
    resumed run continues the schedule.

    Args:
        first: probability in the first epoch.
        last: probability in the last epoch; None keeps it constant.

    Raises:
        InputError: if a probability is outside [0, 1].
    """

    def __init__(self, first: float, last: float | None = None) -> None:
        self.first, self.last = first, first if last is None else last
        for name, probability in (("teacher_forcing", self.first), ("teacher_forcing_end", self.last)):
            if not 0 <= probability <= 1:
                raise InputError(f"{name} must be from 0 to 1, not {probability}")

    def at(self, epoch: int, epochs: int | float) -> float:
        """Returns the probability in an epoch, counted from 0, of a run of ``epochs`` epochs."""
        if self.first != self.last and math.isinf(epochs):
            raise InputError("teacher_forcing_end needs the length of the run: set trainer.max_epochs")
        done = min(1.0, epoch / max(1, epochs - 1))
        return (1 - done) * self.first + done * self.last
