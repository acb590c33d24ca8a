"""Value iteration."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from primer.batch import Dynamics
from primer.errors import InputError
from primer.models.reinforcement.dynamic_programming import DynamicProgramming
from primer.objectives import Objective
from primer.spec import Spec


class ValueIteration(DynamicProgramming):
    """Value iteration (Bellman 1957): repeats the Bellman equation until the values of all states stay the same.

    Args:
        spec: description of the environment.
        gamma: discount factor of rewards.
        tolerance: the largest error of a value at the end.
        objective: unused.

    Raises:
        InputError: if ``gamma`` is not at least 0 and less than 1, or the tolerance is not positive.
    """

    def __init__(
        self, spec: Spec, gamma: float = 0.99, tolerance: float = 1e-10, objective: Objective | None = None
    ) -> None:
        super().__init__(spec, gamma, objective)
        if not tolerance > 0:
            raise InputError(f"tolerance must be more than 0, not {tolerance}")
        self.tolerance = tolerance

    def solve(self, dynamics: Dynamics) -> tuple[Float[Tensor, "states actions"], int]:
        values, sweeps = dynamics.rewards.new_zeros(len(dynamics.rewards)), 0
        while True:
            actions = self.backup(dynamics, values)
            previous, values, sweeps = values, actions.max(1).values, sweeps + 1
            # The error of a value is at most this change, times gamma / (1 - gamma).
            change = (values - previous).abs().max().item()
            largest = max(1.0, values.abs().max().item()) * 1e-15  # No smaller change can be represented.
            if change * self.gamma <= self.tolerance * (1 - self.gamma) or change <= largest:
                return self.backup(dynamics, values), sweeps
