"""Base class of temporal-difference learning with a table."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.batch import Transition
from primer.errors import InputError
from primer.models.base import GradientFree, Step
from primer.models.layers.validation import check_sizes
from primer.models.reinforcement.agent import Agent, Exploration, check_gamma
from primer.objectives import Objective
from primer.spec import FiniteEnvironment, Spec


class TemporalDifference(Agent, GradientFree):
    """Learns the value of each action in each state from the difference between successive predictions (Sutton 1988),
    after each step. The training loss is the mean square of the difference to the best next action, which Q-learning
    learns from.

    Args:
        spec: description of the environment.
        learning_rate: fraction of the difference by which a value changes.
        gamma: discount factor of rewards.
        start_e, end_e, exploration_fraction: see ``Exploration``.
        initial_value: of all actions; a high one makes an agent try all of them.
        steps_per_batch: number of steps between two updates of the progress bar, which does not change the result.
        objective: unused.

    Attributes:
        values: ``(states, actions)``.

    Raises:
        InputError: if a setting is out of range.
    """

    inputs = FiniteEnvironment
    monitor = None
    mode = None
    values: Tensor

    def __init__(
        self,
        spec: Spec,
        learning_rate: float = 0.1,
        gamma: float = 0.99,
        start_e: float = 1.0,
        end_e: float = 0.05,
        exploration_fraction: float = 0.5,
        initial_value: float = 0.0,
        steps_per_batch: int = 100,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, FiniteEnvironment)
        if not 0 < learning_rate <= 1:
            raise InputError(f"learning_rate must be more than 0 and at most 1, not {learning_rate}")
        check_sizes(steps_per_batch=steps_per_batch)
        self.learning_rate, self.gamma, self.steps_per_batch = learning_rate, check_gamma(gamma), steps_per_batch
        self.exploration = Exploration(start_e, end_e, exploration_fraction)
        self.register_buffer("values", torch.full((spec.input.states, spec.input.actions), float(initial_value)))

    def configure_optimizers(self) -> None:
        self.exploration.plan(self, self.compute_run_length())

    def forward(self, inputs: Int[Tensor, " batch"], lengths: Tensor | None = None) -> Float[Tensor, "batch actions"]:
        return self.values[inputs]

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        return self.exploration.choose(self(observations), self.exploration.epsilon if explore else 0.0)

    @abstractmethod
    def next_values(self, transition: Transition) -> Float[Tensor, " batch"]:
        """Returns the value of the next observation of each transition."""

    def differences(self, transition: Transition, next_values: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Returns the temporal differences. Nothing follows the end of an episode; a limit of steps is not an end."""
        values = self.values[transition.observations, transition.actions]
        return transition.rewards + self.gamma * next_values * ~transition.terminated - values

    @torch.no_grad()
    def observe(self, transition: Transition) -> None:
        """Learns from a step of all environments."""
        changes = self.learning_rate * self.differences(transition, self.next_values(transition))
        self.values.index_put_((transition.observations, transition.actions), changes, accumulate=True)
        self.exploration.seen += transition.size

    def step(self, batch: Transition) -> Step:
        best = self(batch.next_observations).max(1).values
        return Step(self.differences(batch, best).square().mean(), batch.size)

    def resume_state(self) -> dict[str, Any]:
        return {"seen": self.exploration.seen}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        self.exploration.seen = int(state["seen"])
