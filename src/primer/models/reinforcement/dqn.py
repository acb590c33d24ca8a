"""The deep Q-network."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Transition
from primer.errors import InputError
from primer.models.base import Step
from primer.models.base.overhead import with_signature
from primer.models.layers.validation import check_choice, check_not_negative, check_sizes
from primer.models.reinforcement.agent import Agent, Exploration, check_gamma, count_envs
from primer.models.reinforcement.replay import ReplayBuffer
from primer.objectives import Objective
from primer.spec import Environment, FiniteEnvironment, Spec

LOSSES = {"huber": F.smooth_l1_loss, "mse": F.mse_loss}


class DQN(Agent):
    """Deep Q-learning with a replay buffer and a target network (Mnih et al. 2015). Q, the expected discounted return
    of each action, is a multilayer perceptron of the observation; a state is encoded as one of ``states``.

    A training batch is ``train_frequency`` steps of environments, whose transitions are stored, and then one gradient
    step on transitions sampled from the buffer. ``trainer.max_steps`` counts these batches, including those before
    ``learning_starts``, which do not change the network.

    Args:
        spec: description of the environment.
        hidden_sizes: number of units of each hidden layer.
        double: whether the network chooses the next action and the target network evaluates it (van Hasselt, Guez and
            Silver 2016), instead of the maximum of the target network, which overestimates.
        dueling: whether Q is the sum of the value of the state and the advantages of the actions (Wang et al. 2016).
        loss: of the temporal difference: ``mse``, or ``huber``, which suits rewards clipped to [-1, 1] but can diverge
            on others: it gives the rare ends of episodes, where errors are large, too little weight.
        batch_size: number of transitions that are sampled for a gradient step.
        buffer_size: number of the latest transitions to sample from.
        learning_starts: number of steps of environments before the first gradient step.
        train_frequency: number of steps of environments for a gradient step, a multiple of ``data.num_envs``.
        target_network_frequency: number of steps of environments between updates of the target network.
        tau: fraction of the network in such an update; 1 copies it.
        start_e, end_e, exploration_fraction: see ``Exploration``.
        gamma: discount factor of rewards.
        objective: unused.

    Raises:
        InputError: if a setting is out of range; before a run, if ``train_frequency`` is not a multiple of the number
            of environments, or the buffer holds fewer transitions than one step of all environments.
    """

    inputs = Environment | FiniteEnvironment

    def __init__(
        self,
        spec: Spec,
        hidden_sizes: Sequence[int] = (120, 84),
        double: bool = True,
        dueling: bool = False,
        loss: Literal["huber", "mse"] = "mse",
        batch_size: int = 128,
        buffer_size: int = 10_000,
        learning_starts: int = 10_000,
        train_frequency: int = 10,
        target_network_frequency: int = 500,
        tau: float = 1.0,
        start_e: float = 1.0,
        end_e: float = 0.05,
        exploration_fraction: float = 0.5,
        gamma: float = 0.99,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Environment | FiniteEnvironment)
        check_sizes(
            batch_size=batch_size, buffer_size=buffer_size, train_frequency=train_frequency,
            target_network_frequency=target_network_frequency,
        )  # fmt: skip
        check_choice("loss", loss, tuple(LOSSES))
        check_not_negative(learning_starts=learning_starts)
        if not 0 < tau <= 1:
            raise InputError(f"tau must be more than 0 and at most 1, not {tau}")
        self.is_double, self.loss, self.batch_size = double, loss, batch_size
        self.learning_starts, self.train_frequency = learning_starts, train_frequency
        self.target_network_frequency, self.tau, self.gamma = target_network_frequency, tau, check_gamma(gamma)
        self.exploration = Exploration(start_e, end_e, exploration_fraction)
        self.memory = ReplayBuffer(buffer_size)
        self.states = spec.input.states if isinstance(spec.input, FiniteEnvironment) else None
        size = self.states or math.prod(spec.input.observation)  # type: ignore[union-attr]
        self.network = q_network(size, hidden_sizes, spec.input.actions, dueling)
        self.target = copy.deepcopy(self.network).requires_grad_(False)

    # Acting.

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Float[Tensor, "batch actions"]:
        """Returns Q of each action."""
        return self.network(self.encode(inputs))

    def encode(self, observations: Tensor) -> Float[Tensor, "batch features"]:
        """Returns observations as vectors."""
        features = observations.flatten(1) if self.states is None else F.one_hot(observations, self.states)
        return features.to(self.dtype)

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        return self.exploration.choose(self(observations), self.exploration.epsilon if explore else 0.0)

    @torch.no_grad()
    def observe(self, transition: Transition) -> None:
        """Stores a step of all environments, and updates the target network if it is time."""
        self.memory.add(transition)
        before, self.exploration.seen = self.exploration.seen, self.exploration.seen + transition.size
        if self.exploration.seen // self.target_network_frequency > before // self.target_network_frequency:
            for target, parameter in zip(self.target.parameters(), self.network.parameters(), strict=True):
                target.lerp_(parameter, self.tau)

    # Learning.

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        envs = count_envs(self)
        if self.train_frequency % envs:
            raise InputError(
                f"model.train_frequency={self.train_frequency} must be a multiple of data.num_envs={envs}, since all "
                "environments are stepped together"
            )
        if self.memory.size < envs:
            raise InputError(
                f"model.buffer_size={self.memory.size} holds fewer transitions than one step of data.num_envs={envs}"
            )

    def compute_run_length(self) -> tuple[int | float, int | float]:
        length = super().compute_run_length()
        self.exploration.plan(self, length)
        return length

    @property
    def steps_per_batch(self) -> int:  # type: ignore[override]
        """Number of steps of all environments in a training batch."""
        return self.train_frequency // count_envs(self)

    @with_signature
    def training_step(self, batch: Transition, batch_idx: int) -> Tensor | None:
        if self.exploration.seen < self.learning_starts:
            self._penalized = True
            return None
        return super().training_step(self.memory.sample(self.batch_size), batch_idx)

    def step(self, batch: Transition) -> Step:
        values = self(batch.observations).gather(1, batch.actions[:, None]).squeeze(1)
        # Nothing follows the end of an episode; a limit of steps is not an end.
        targets = batch.rewards + self.gamma * self.next_values(batch.next_observations) * ~batch.terminated
        return Step(LOSSES[self.loss](values, targets.to(values.dtype)), batch.size)

    @torch.no_grad()
    def next_values(self, observations: Tensor) -> Float[Tensor, " batch"]:
        """Returns the value of the observations that follow, according to the target network."""
        encoded = self.encode(observations)
        target = self.target(encoded)
        if not self.is_double:
            return target.max(1).values
        return target.gather(1, self.network(encoded).argmax(1, keepdim=True)).squeeze(1)

    # Resuming.

    def resume_state(self) -> dict[str, Any]:
        return {"seen": self.exploration.seen, "memory": self.memory.state_dict()}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        self.exploration.seen = int(state["seen"])
        self.memory.load_state_dict(state["memory"], self.device)


class DuelingHead(nn.Module):
    """Q as the value of the state plus the advantage of each action, whose mean is 0 (Wang et al. 2016)."""

    def __init__(self, features: int, actions: int) -> None:
        super().__init__()
        self.value, self.advantage = nn.Linear(features, 1), nn.Linear(features, actions)

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch actions"]:
        advantage = self.advantage(inputs)
        return self.value(inputs) + advantage - advantage.mean(1, keepdim=True)


def q_network(features: int, hidden_sizes: Sequence[int], actions: int, dueling: bool) -> nn.Sequential:
    """Returns a multilayer perceptron with ReLU, whose last layer computes Q."""
    layers: list[nn.Module] = []
    for size in hidden_sizes:
        check_sizes(hidden_sizes=size)
        layers += [nn.Linear(features, size), nn.ReLU()]
        features = size
    return nn.Sequential(*layers, DuelingHead(features, actions) if dueling else nn.Linear(features, actions))
