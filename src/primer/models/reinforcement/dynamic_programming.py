"""Base class of dynamic programming: planning with the dynamics of an environment."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.batch import Dynamics, Transition
from primer.errors import InputError
from primer.models.base import SinglePass, Step
from primer.models.reinforcement.agent import Agent
from primer.objectives import Objective
from primer.spec import FiniteEnvironment, Spec


class DynamicProgramming(Agent, SinglePass):
    """Computes the value of each action in each state from the dynamics of the environment, without acting in it
    (Bellman 1957). The training loss is the squared error of these values in transitions of the policy.

    Logs ``train/sweeps``, the number of sweeps over all states, and ``train/start_value``, the expected discounted
    return of an episode.

    Args:
        spec: description of the environment.
        gamma: discount factor of rewards.
        objective: unused.

    Attributes:
        values: ``(states, actions)`` the expected discounted return of each action, in double precision.

    Raises:
        InputError: if ``gamma`` is not at least 0 and less than 1.
    """

    inputs = FiniteEnvironment
    fitted = ("values", "start_value", "sweeps")
    logged_metrics = (*Agent.logged_metrics, "train/sweeps", "train/start_value")
    steps_per_batch = 100
    values: Tensor
    start_value: Tensor
    sweeps: Tensor

    def __init__(self, spec: Spec, gamma: float = 0.99, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, FiniteEnvironment)
        if not 0 <= gamma < 1:
            raise InputError(f"gamma must be at least 0 and less than 1, so that values are finite, not {gamma}")
        self.gamma = gamma
        self.register_buffer("values", torch.zeros(spec.input.states, spec.input.actions, dtype=torch.float64))
        self.register_buffer("start_value", torch.zeros((), dtype=torch.float64))
        self.register_buffer("sweeps", torch.tensor(0))

    @abstractmethod
    def solve(self, dynamics: Dynamics) -> tuple[Float[Tensor, "states actions"], int]:
        """Returns the optimal value of each action in each state, and the number of sweeps over all states."""

    def fit(self, train: Dynamics) -> None:
        self.values, sweeps = self.solve(train)
        self.sweeps.fill_(sweeps)
        self.start_value = train.start @ self.values.max(1).values

    def backup(self, dynamics: Dynamics, state_values: Float[Tensor, " states"]) -> Float[Tensor, "states actions"]:
        """Returns the value of each action, given those of the states that it leads to: the Bellman equation."""
        return dynamics.rewards + self.gamma * dynamics.transitions @ state_values

    def forward(self, inputs: Int[Tensor, " batch"], lengths: Tensor | None = None) -> Float[Tensor, "batch actions"]:
        return self.values[inputs]

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        return self(observations).argmax(1)

    def step(self, batch: Transition) -> Step:
        following = self(batch.next_observations).max(1).values * ~batch.terminated
        values = self(batch.observations).gather(1, batch.actions[:, None]).squeeze(1)
        return Step((batch.rewards + self.gamma * following - values).square().mean().float(), batch.size)

    def log_training(self) -> None:
        super().log_training()
        self.log("train/sweeps", self.sweeps.float(), on_step=False, on_epoch=True)
        self.log("train/start_value", self.start_value.float(), on_step=False, on_epoch=True)
