"""SARSA."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Transition
from primer.models.reinforcement.tabular import TemporalDifference


class SARSA(TemporalDifference):
    """SARSA (Rummery and Niranjan 1994): learns the values of the policy that it acts with, including its exploration.
    The value of the next state is that of the action that is taken there next. See ``TemporalDifference`` for the
    arguments.

    Attributes:
        planned: the next state of each environment and the action that will be taken in it; None at the start.
    """

    planned: tuple[Tensor, Tensor] | None = None

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        actions = super().act(observations, explore)
        if not explore or self.planned is None:
            return actions
        states, planned = self.planned  # After the end of an episode, another state follows.
        return torch.where(states == observations, planned, actions)

    def next_values(self, transition: Transition) -> Float[Tensor, " batch"]:
        actions = super().act(transition.next_observations, explore=True)
        self.planned = transition.next_observations.masked_fill(transition.terminated, -1), actions
        return self.values[transition.next_observations, actions]

    def resume_state(self) -> dict[str, Any]:
        return super().resume_state() | {"planned": list(self.planned or ())}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        super().load_resume_state(state)
        planned = [tensor.to(self.device) for tensor in state["planned"]]
        self.planned = (planned[0], planned[1]) if planned else None
