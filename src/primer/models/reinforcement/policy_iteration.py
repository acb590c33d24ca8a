"""Policy iteration."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Dynamics
from primer.models.reinforcement.dynamic_programming import DynamicProgramming

TIE = 1e-10
"""A difference between the values of two actions that is due to rounding: the policy does not change for it."""


class PolicyIteration(DynamicProgramming):
    """Policy iteration (Howard 1960): evaluates a policy exactly, by a system of linear equations, and improves it in
    each state, until no state has a better action.

    Args:
        spec: description of the environment.
        gamma: discount factor of rewards.
        objective: unused.

    Raises:
        InputError: if ``gamma`` is not at least 0 and less than 1.
    """

    def solve(self, dynamics: Dynamics) -> tuple[Float[Tensor, "states actions"], int]:
        states = torch.arange(len(dynamics.rewards), device=dynamics.rewards.device)
        policy, sweeps = torch.zeros_like(states), 0
        identity = torch.eye(len(states), dtype=dynamics.rewards.dtype, device=states.device)
        while True:
            equations = identity - self.gamma * dynamics.transitions[states, policy]
            actions = self.backup(dynamics, torch.linalg.solve(equations, dynamics.rewards[states, policy]))
            sweeps += 1
            best, improved = actions.max(1)
            keep = actions[states, policy] >= best - TIE
            if keep.all():
                return actions, sweeps
            policy = torch.where(keep, policy, improved)
