"""A reinforcement learning model."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Episodes, Transition
from primer.models.base import Model, Step
from primer.spec import Environment, NoTarget


class DQN(Model):
    """Deep Q-learning with a replay buffer and a target network (Mnih et al. 2015)."""

    inputs = Environment
    targets = NoTarget
    monitor = "val/return"
    mode = "max"
    logged_metrics = ("val/return",)

    def __init__(self, spec, buffer_size: int = 2000, epsilon: float = 0.1, gamma: float = 0.99, objective=None):
        super().__init__(spec, objective)
        size, actions = math.prod(spec.input.observation), spec.input.actions
        self.epsilon, self.gamma, self.actions = epsilon, gamma, actions
        self.network = nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, actions))
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        for name, width in (("observations", size), ("following", size), ("moves", 3)):
            self.register_buffer(name, torch.zeros(buffer_size, width))
        self.register_buffer("stored", torch.tensor(0))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.network(inputs.flatten(1))

    @torch.no_grad()
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        best = self(observations).argmax(1)
        random = torch.rand(len(best)) < self.epsilon if explore else torch.zeros(len(best), dtype=torch.bool)
        return torch.where(random, torch.randint(self.actions, best.shape), best) if explore else best

    def training_step(self, batch: Transition, batch_idx: int) -> Tensor:
        rows = (self.stored + torch.arange(batch.size)) % len(self.moves)
        self.observations[rows], self.following[rows] = (
            batch.observations.flatten(1),
            batch.next_observations.flatten(1),
        )
        self.moves[rows] = torch.stack([batch.actions.float(), batch.rewards, batch.terminated.float()], 1)
        self.stored += batch.size
        if self.trainer.global_step % 100 == 0:
            self.target.load_state_dict(self.network.state_dict())
        return super().training_step(self.sample(64), batch_idx)

    def sample(self, count: int) -> Transition:
        rows = torch.randint(int(self.stored.clamp(max=len(self.moves))), (count,))
        actions, rewards, terminated = self.moves[rows].unbind(1)
        return Transition(self.observations[rows], actions.long(), rewards, self.following[rows], terminated.bool())

    def step(self, batch: Transition) -> Step:
        values = self(batch.observations).gather(1, batch.actions[:, None]).squeeze(1)
        following = self.target(batch.next_observations).max(1).values * ~batch.terminated
        return Step(F.smooth_l1_loss(values, batch.rewards + self.gamma * following), batch.size)

    def validation_step(self, batch: Episodes, batch_idx: int) -> None:
        self.log("val/return", batch.returns.mean(), batch_size=batch.size)

    def test_step(self, batch: Episodes, batch_idx: int) -> None:
        self.log("test/return", batch.returns.mean(), batch_size=batch.size)
