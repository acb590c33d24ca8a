"""The multi-armed bandit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor

from primer.batch import Pulls
from primer.data.source import DataSource
from primer.errors import InputError
from primer.spec import Arms, NoTarget, Spec

STRIDE = 1_000_003
"""Difference between the seeds that a player gets in runs whose seeds differ by 1."""


class Player(Protocol):
    """A model that pulls arms."""

    def start(self, runs: int, seed: int) -> None:
        """Forgets everything, and prepares for ``runs`` bandits side by side."""
        ...

    def pull(self) -> Tensor:
        """Returns the arm ``(runs,)`` to pull in each run."""
        ...

    def observe(self, arms: Tensor, rewards: Tensor) -> None:
        """Learns from the rewards ``(runs,)`` of the arms."""
        ...


class MultiArmedBandit(DataSource):
    """Slot machines with unknown mean rewards, many runs side by side (Robbins 1952). The means are drawn anew for each
    run: from a standard normal distribution for ``gaussian`` rewards, which have a standard deviation of 1, and
    uniformly for ``bernoulli`` rewards, which are 0 or 1 (the 10-armed testbed of Sutton and Barto 2018, section 2.3).

    Training plays all runs for as many steps as the run has; each batch is one step. The test starts anew with other
    bandits, and plays ``eval_steps`` steps.

    Args:
        arms: number of arms.
        rewards: distribution of the rewards: ``gaussian`` or ``bernoulli``.
        runs: number of bandits that are played side by side.
        steps_per_epoch: number of steps in a training epoch.
        eval_steps: number of steps in the test.
        data_seed: seed of the means and the rewards. The player's own choices depend on the seed of the run, too.
        data_dir: unused; the folder of other data sets.
        augmentation: must be empty.

    Raises:
        InputError: if a number is too small, the distribution is unknown, or augmentation is given.
    """

    inputs = Arms
    targets = NoTarget

    def __init__(
        self,
        *,
        arms: int = 10,
        rewards: Literal["gaussian", "bernoulli"] = "gaussian",
        runs: int = 2000,
        steps_per_epoch: int = 50,
        eval_steps: int = 1000,
        data_seed: int = 0,
        data_dir: str | Path = "data",
        augmentation: Any = None,
    ) -> None:
        super().__init__()
        least = {"arms": 2, "runs": 1, "steps_per_epoch": 1, "eval_steps": 1}
        given = {"arms": arms, "runs": runs, "steps_per_epoch": steps_per_epoch, "eval_steps": eval_steps}
        for name, number in given.items():
            if number < least[name]:
                raise InputError(f"{name} must be at least {least[name]}, not {number}")
        if rewards not in ("gaussian", "bernoulli"):
            raise InputError(f"rewards must be one of gaussian, bernoulli, not {rewards!r}")
        if augmentation:
            raise InputError("a bandit does not have inputs, so there is nothing to augment")
        self.arms, self.rewards, self.runs = arms, rewards, runs
        self.steps_per_epoch, self.eval_steps, self.data_seed = steps_per_epoch, eval_steps, data_seed

    @property
    def spec(self) -> Spec:
        return Spec(Arms(self.arms, self.rewards), NoTarget())

    def prepare(self) -> Self:
        return self

    def sizes(self) -> dict[str, int]:
        """Returns the number of runs in training and in the test."""
        return {"train": self.runs, "val": 0, "test": self.runs}

    def train_dataloader(self) -> BanditLoader:
        return self._loader("train", self.steps_per_epoch)

    def val_dataloader(self) -> list[Any]:
        return []

    def test_dataloader(self) -> BanditLoader:
        return self._loader(self.test_part, self.eval_steps)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Lightning's hook. The loader has already moved the batch to the device."""
        return batch

    def _loader(self, part: str, steps: int) -> BanditLoader:
        model: Any = self.trainer.lightning_module if self.trainer else None
        if self.trainer and self.trainer.world_size > 1:
            raise InputError("a bandit is played in one process: set accelerator.devices=1")
        if not hasattr(model, "pull"):
            raise InputError(f"{type(model).__name__} cannot play a bandit: define the methods start, pull and observe")
        seed = 3 * self.data_seed + {"train": 0, "val": 1, "test": 2}[part]
        generator = torch.Generator(model.device).manual_seed(seed)
        draw = torch.randn if self.rewards == "gaussian" else torch.rand
        means = draw(self.runs, self.arms, generator=generator, device=model.device)
        return BanditLoader(means, self.rewards, steps, model, generator, restart=part != "train")


class BanditLoader:
    """Plays bandits with the arms that a player pulls. Each batch is one step of all runs.

    Args:
        means: ``(runs, arms)`` the mean reward of each arm.
        rewards: distribution of the rewards.
        steps: number of batches in an epoch.
        player: selects the arms.
        generator: of the rewards.
        restart: whether each pass starts anew, with the same rewards, instead of continuing.
    """

    def __init__(
        self, means: Tensor, rewards: str, steps: int, player: Player, generator: torch.Generator, restart: bool
    ) -> None:
        self.means, self.rewards, self.steps = means, rewards, steps
        self.player, self.generator, self.restart = player, generator, restart
        self.position = 0
        self._started = self._resuming = False
        self._first = generator.get_state()
        self._best = means.max(1)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Pulls]:
        if self.restart or not self._started:
            self.generator.set_state(self._first)
            self.player.start(len(self.means), self.generator.initial_seed() + STRIDE * torch.initial_seed() % 2**63)
            self._started = True
        if not self._resuming:
            self.position = 0
        self._resuming = False
        while self.position < self.steps:
            pulls = self._step()
            self.position += 1
            yield pulls

    def _step(self) -> Pulls:
        arms = self.player.pull()
        means = self.means.gather(1, arms[:, None]).squeeze(1)
        if self.rewards == "gaussian":
            rewards = means + torch.randn(means.shape, generator=self.generator, device=means.device)
        else:
            rewards = torch.bernoulli(means, generator=self.generator)
        self.player.observe(arms, rewards)
        return Pulls(arms, rewards, self._best.values - means, arms == self._best.indices)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position in the epoch and the state of the generator."""
        return {"position": self.position, "started": self._started, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the position of ``state``; after a complete epoch, with the next one."""
        self.position, self._started = state["position"], state["started"]
        self._resuming = 0 < self.position < self.steps
        self.generator.set_state(state["generator"])
