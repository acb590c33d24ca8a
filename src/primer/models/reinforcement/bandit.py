"""Policies of multi-armed bandits."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.batch import Pulls
from primer.errors import InputError
from primer.models.base import GradientFree
from primer.models.layers.validation import check_choice
from primer.objectives import Objective
from primer.spec import Arms, NoTarget, Spec

EXPLORATION: dict[str, float | None] = {
    "greedy": None, "epsilon_greedy": 0.1, "ucb": math.sqrt(2), "thompson": None, "softmax": 0.2,
}  # fmt: skip
"""The default amount of exploration of each policy; None if it does not have one."""

RECENT = 0.1
"""The fraction of the steps at the end of the test that ``test/optimal_arm`` is the mean of."""


class BanditPolicy(GradientFree):
    """Estimates the mean reward of each arm, and balances exploring arms with exploiting the one that seems best.

    Logs ``train/optimal_arm``, the fraction of the pulls in the epoch that were of the best arm, and ``train/regret``,
    the mean difference between its mean reward and that of the pulled arm; ``test/optimal_arm``, over the last tenth of
    the test; and ``test/regret``, the sum of the differences over the test.

    Args:
        spec: description of the bandit.
        policy: how the next arm is chosen:

            - ``greedy``: the one with the largest estimate;
            - ``epsilon_greedy``: that one, or with probability ``exploration`` a random one;
            - ``ucb``: the one with the largest upper confidence bound, ``exploration`` times the standard error above
              the estimate (Auer, Cesa-Bianchi and Fischer 2002);
            - ``thompson``: the one with the largest of means drawn from their posterior (Thompson 1933);
            - ``softmax``: one drawn from a softmax of the estimates over the temperature ``exploration``.
        exploration: amount of exploration; by default that of ``EXPLORATION``.
        objective: unused.

    Attributes:
        counts, sums: ``(runs, arms)`` the number of pulls and the sum of the rewards of each arm.
        history: ``(steps, 2)`` the fraction of optimal arms and the regret of each step of the latest test.

    Raises:
        InputError: if the policy is unknown, or does not have this amount of exploration.
    """

    inputs = Arms
    targets = NoTarget
    monitor = None
    logged_metrics = ("train/optimal_arm", "train/regret")
    logged_losses = ()
    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        spec: Spec,
        policy: Literal["greedy", "epsilon_greedy", "ucb", "thompson", "softmax"] = "epsilon_greedy",
        exploration: float | None = None,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Arms)
        default = EXPLORATION[check_choice("policy", policy, tuple(EXPLORATION))]
        if exploration is not None and default is None:
            raise InputError(f"policy={policy} does not have an amount of exploration: leave it out")
        amount = default if exploration is None else exploration
        if amount is not None and not 0 <= amount <= (1 if policy == "epsilon_greedy" else math.inf):
            raise InputError(f"exploration={exploration} is out of range for policy={policy}")
        if policy == "softmax" and amount == 0:
            raise InputError("exploration must be more than 0 for policy=softmax, which divides by it")
        self.policy, self.exploration = policy, amount or 0.0
        self.arms, self.bernoulli = spec.input.arms, spec.input.rewards == "bernoulli"
        self.history = torch.zeros(0, 2)
        self._steps: list[Tensor] = []
        self._generator: torch.Generator | None = None
        self.register_buffer("counts", torch.zeros(0, spec.input.arms), persistent=False)
        self.register_buffer("sums", torch.zeros(0, spec.input.arms), persistent=False)

    def start(self, runs: int, seed: int) -> None:
        """Forgets everything, and prepares for ``runs`` bandits side by side."""
        self.counts, self.sums = torch.zeros(2, runs, self.arms, device=self.device)
        self._generator = torch.Generator(self.device).manual_seed(seed + 1)

    @torch.no_grad()
    def pull(self) -> Int[Tensor, " runs"]:
        """Returns the arm to pull in each run. Ties are broken at random."""
        scores = self.scores()
        return (scores + 1e-6 * self._uniform()).argmax(1)

    def scores(self) -> Float[Tensor, "runs arms"]:
        """Returns numbers of which the largest one is of the arm to pull."""
        pulls, means = self.counts, self.sums / self.counts.clamp(min=1)
        if self.policy == "epsilon_greedy":
            explores = self._uniform()[:, :1] < self.exploration
            return torch.where(explores, self._uniform(), means)
        if self.policy == "ucb":
            total = pulls.sum(1, keepdim=True).clamp(min=1)
            bonus = self.exploration * (total.log() / pulls.clamp(min=1)).sqrt()
            return torch.where(pulls > 0, means + bonus, math.inf)  # Each arm is pulled once first.
        if self.policy == "softmax":  # The largest sum with Gumbel noise is distributed like a softmax.
            return means / self.exploration - (-self._uniform().clamp(min=1e-20).log()).log()
        if self.policy == "thompson" and self.bernoulli:  # The prior is uniform, the posterior a beta distribution.
            gamma = torch._standard_gamma  # type: ignore[reportPrivateImportUsage]  # Beta does not take a generator.
            successes = gamma(1 + self.sums, generator=self._generator)
            return successes / (successes + gamma(1 + pulls - self.sums, generator=self._generator))
        if self.policy == "thompson":  # The prior is a standard normal distribution.
            noise = torch.randn(pulls.shape, generator=self._generator, device=self.device)
            return self.sums / (pulls + 1) + noise / (pulls + 1).sqrt()
        return means

    @torch.no_grad()
    def observe(self, arms: Tensor, rewards: Tensor) -> None:
        """Learns from the rewards of the arms."""
        self.counts.scatter_add_(1, arms[:, None], torch.ones_like(rewards)[:, None])
        self.sums.scatter_add_(1, arms[:, None], rewards[:, None])

    def _uniform(self) -> Tensor:
        return torch.rand(self.counts.shape, generator=self._generator, device=self.device)

    def training_step(self, batch: Pulls, batch_idx: int) -> None:
        settings = {"on_step": False, "on_epoch": True, "batch_size": batch.size}
        self.log("train/optimal_arm", batch.optimal.float().mean(), **settings)
        self.log("train/regret", batch.regrets.mean(), **settings)

    def on_test_epoch_start(self) -> None:
        super().on_test_epoch_start()
        self._steps = []

    def test_step(self, batch: Pulls, batch_idx: int) -> None:
        self._steps.append(torch.stack([batch.optimal.float().mean(), batch.regrets.mean()]))

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        if self._steps:
            self.history = torch.stack(self._steps).cpu()
            recent = max(1, round(RECENT * len(self.history)))
            self.log("test/optimal_arm", self.history[-recent:, 0].mean())
            self.log("test/regret", self.history[:, 1].sum())

    def resume_state(self) -> dict[str, Any]:
        if self._generator is None:
            return {}
        return {"counts": self.counts, "sums": self.sums, "generator": self._generator.get_state()}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        if state:
            self.counts, self.sums = state["counts"].to(self.device), state["sums"].to(self.device)
            self._generator = torch.Generator(self.device)
            self._generator.set_state(state["generator"].cpu())
