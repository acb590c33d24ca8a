"""Base class of models that learn by acting in an environment."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from primer.batch import Episodes
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_sizes
from primer.spec import NoTarget


class Agent(Model):
    """A model that acts in an environment and is judged by the mean return of its episodes, without exploration.

    Logs ``val/return`` and ``val/length``, the mean sum of rewards and number of steps of an episode; the same for the
    test; and ``train/return``, that of the episodes that ended in the epoch, with exploration.
    """

    targets = NoTarget
    monitor = "val/return"
    mode = "max"
    logged_metrics = ("train/return", "val/return", "val/length")
    logged_losses = ("train/loss",)
    steps_per_batch: int = 1
    """Number of steps of all environments in a training batch."""

    @abstractmethod
    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Returns actions ``(envs,)`` for observations ``(envs, *observation)``, with exploration if ``explore``."""

    def validation_step(self, batch: Episodes, batch_idx: int) -> None:
        self._log_episodes("val", batch)

    def test_step(self, batch: Episodes, batch_idx: int) -> None:
        self._log_episodes("test", batch)

    def _log_episodes(self, stage: str, batch: Episodes) -> None:
        self.log(f"{stage}/return", batch.returns.mean(), on_epoch=True, batch_size=batch.size)
        self.log(f"{stage}/length", batch.lengths.float().mean(), on_epoch=True, batch_size=batch.size)

    def log_training(self) -> None:
        super().log_training()
        total, count = getattr(self.trainer.train_dataloader, "finished", (0, 0))
        if count:
            self.log("train/return", total / count, on_step=False, on_epoch=True)


class Exploration:
    """Epsilon-greedy exploration: a random action with a probability that decreases linearly during the run.

    Args:
        start_e, end_e: the probability at the start and at the end of the decrease.
        exploration_fraction: fraction of the run over which it decreases.

    Attributes:
        seen: number of steps of single environments so far.
        total: that of the whole run.

    Raises:
        InputError: if a number is not in [0, 1].
    """

    def __init__(self, start_e: float, end_e: float, exploration_fraction: float) -> None:
        numbers = {"start_e": start_e, "end_e": end_e, "exploration_fraction": exploration_fraction}
        for name, number in numbers.items():
            if not 0 <= number <= 1:
                raise InputError(f"{name} must be at least 0 and at most 1, not {number}")
        self.start_e, self.end_e, self.exploration_fraction = start_e, end_e, exploration_fraction
        self.seen, self.total = 0, 0.0

    def plan(self, model: Agent, run_length: tuple[int | float, int | float]) -> None:
        """Sets the total of a run that has so many training steps and epochs.

        Raises:
            InputError: if only a time limit ends the run.
        """
        steps, epochs = run_length
        if steps == float("inf"):
            raise InputError(
                f"{type(model).__name__} explores less and less during the run, which therefore needs an end: set "
                "trainer.max_epochs or trainer.max_steps"
            )
        per_epoch = int(model.trainer.num_training_batches)
        batches = min(int(steps) * model.accumulated_batches(), int(epochs) * per_epoch)
        full = getattr(model.trainer.datamodule, "steps_per_epoch", math.inf)  # type: ignore[attr-defined]
        # The last batch of an epoch may be shorter.
        of_epochs = batches // per_epoch * min(per_epoch * model.steps_per_batch, full)
        self.total = float((of_epochs + batches % per_epoch * model.steps_per_batch) * count_envs(model))

    @property
    def epsilon(self) -> float:
        """The current probability of a random action."""
        decrease = self.exploration_fraction * self.total
        progress = min(1.0, self.seen / decrease) if decrease else 1.0
        return self.start_e + progress * (self.end_e - self.start_e)

    def choose(self, values: Tensor, epsilon: float) -> Tensor:
        """Returns the actions ``(envs,)`` of the largest values ``(envs, actions)``, or random ones with probability
        ``epsilon``."""
        best = values.argmax(1)
        if not epsilon:
            return best
        random = torch.rand(len(best), device=best.device) < epsilon
        return torch.where(random, torch.randint(values.shape[1], best.shape, device=best.device), best)


def check_gamma(gamma: float) -> float:
    """Returns a discount factor.

    Raises:
        InputError: unless it is at least 0 and at most 1.
    """
    if not 0 <= gamma <= 1:
        raise InputError(f"gamma must be at least 0 and at most 1, not {gamma}")
    return gamma


def count_envs(model: Model) -> int:
    """Returns the number of environments that a model acts in during training."""
    data: Any = getattr(model.trainer, "datamodule", None)
    envs = getattr(data, "num_envs", None)
    if envs is None:
        raise InputError(f"{type(model).__name__} learns in an environment: pass one to Trainer.fit")
    check_sizes(num_envs=envs)
    return envs
