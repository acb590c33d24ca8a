"""Q-learning."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from primer.batch import Transition
from primer.models.reinforcement.tabular import TemporalDifference


class QLearning(TemporalDifference):
    """Q-learning (Watkins 1989): learns the values of the best policy, whatever policy it acts with. The value of the
    next state is that of its best action. See ``TemporalDifference`` for the arguments."""

    def next_values(self, transition: Transition) -> Float[Tensor, " batch"]:
        return self(transition.next_observations).max(1).values
