"""Base class of environments for reinforcement learning, which replace data sets."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Self

import torch

from primer.batch import Dynamics
from primer.data.loading.experience import Env, EpisodeLoader, ExperienceLoader, Policy
from primer.data.source import DataSource
from primer.errors import InputError
from primer.spec import Environment as EnvironmentSpec
from primer.spec import FiniteEnvironment, NoTarget, Spec

PARALLEL = 25
"""The maximum number of episodes that are played side by side in evaluation."""


class Environment(DataSource):
    """A data source in which the model acts. The training loader yields ``Transition`` batches; the validation and test
    loaders yield ``Episodes`` played without exploration.

    A subclass creates one environment in ``make``. The model must have a method ``act(observations, explore)``.

    Args:
        num_envs: number of environments that are stepped in parallel during training.
        steps_per_epoch: number of steps of all environments in a training epoch.
        eval_episodes: number of episodes in a validation or a test.
        dynamics_steps: for models that plan with known dynamics: null gives them the true ones, and a number those
            that are estimated from that many random steps.
        data_dir: unused; the folder of other data sets.
        augmentation: must be empty.

    Raises:
        InputError: if a number is less than 1, or augmentation is given.
    """

    inputs = EnvironmentSpec | FiniteEnvironment
    targets = NoTarget

    def __init__(
        self,
        *,
        num_envs: int = 8,
        steps_per_epoch: int = 1000,
        eval_episodes: int = 10,
        dynamics_steps: int | None = None,
        data_dir: str | Path = "data",
        augmentation: Any = None,
    ) -> None:
        super().__init__()
        numbers = {"num_envs": num_envs, "steps_per_epoch": steps_per_epoch, "eval_episodes": eval_episodes}
        numbers |= {} if dynamics_steps is None else {"dynamics_steps": dynamics_steps}
        for name, number in numbers.items():
            if number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        if augmentation:
            raise InputError(f"{type(self).__name__} is an environment, so there is nothing to augment")
        self.num_envs, self.steps_per_epoch, self.eval_episodes = num_envs, steps_per_epoch, eval_episodes
        self.dynamics_steps = dynamics_steps
        self._spec: Spec | None = None

    @abstractmethod
    def make(self) -> Env:
        """Creates one environment, such as ``gymnasium.make("CartPole-v1")``."""

    def make_rendered(self) -> Env:
        """Creates one environment whose method ``render`` returns a frame, if it can be rendered."""
        return self.make()

    def describe(self, env: Env) -> EnvironmentSpec | FiniteEnvironment:
        """Returns what an agent sees and does in an environment.

        Raises:
            InputError: if observations are neither an array nor a state, or actions are not discrete.
        """
        seen, done = env.observation_space, env.action_space
        if seen.shape is None or not hasattr(done, "n") or getattr(seen, "start", 0) or getattr(done, "start", 0):
            raise InputError(
                f"{type(self).__name__}: observations must be arrays or discrete, and actions discrete, both counted "
                f"from 0, but it has {seen} and {done}"
            )
        if hasattr(seen, "n") and not seen.shape:
            return FiniteEnvironment(int(seen.n), int(done.n))
        return EnvironmentSpec(tuple(int(side) for side in seen.shape), int(done.n))

    @property
    def spec(self) -> Spec:
        if self._spec is None:
            raise RuntimeError("the environment has not been created yet: call prepare() first")
        return self._spec

    def prepare(self) -> Self:
        if self._spec is None:
            self._spec = Spec(self.describe(self.make()), NoTarget())
        return self

    def sizes(self) -> dict[str, int]:
        """Returns the number of steps in a training epoch, and of episodes in validation and test."""
        steps = self.num_envs * self.steps_per_epoch
        return {"train": steps, "val": self.eval_episodes, "test": self.eval_episodes}

    def whole(self, part: str = "train") -> Dynamics:
        """Returns the dynamics, for models that plan with them instead of learning by acting: the true ones, or those
        estimated from ``dynamics_steps`` random steps.

        Raises:
            InputError: if there is no finite number of states, or the environment does not reveal its dynamics.
        """
        env, kind = self.make(), self.spec.input
        if not isinstance(kind, FiniteEnvironment):
            raise InputError(f"{type(self).__name__} does not have a finite number of states, so no table of them")
        if self.dynamics_steps is not None:
            return estimate_dynamics(env, kind, self.dynamics_steps)
        table = getattr(getattr(env, "unwrapped", env), "P", None)
        start = getattr(getattr(env, "unwrapped", env), "initial_state_distrib", None)
        if table is None or start is None:
            raise InputError(
                f"{type(self).__name__} does not reveal its dynamics: estimate them with data.dynamics_steps=100000"
            )
        return known_dynamics(table, kind, torch.as_tensor(start, dtype=torch.float64))

    def train_dataloader(self) -> ExperienceLoader:
        return ExperienceLoader([self.make() for _ in range(self.num_envs)], self.steps_per_epoch, *self._actor())

    def val_dataloader(self) -> EpisodeLoader:
        return self._episodes(1_000_000)

    def test_dataloader(self) -> EpisodeLoader:
        return self._episodes({"train": 3_000_000, "val": 1_000_000, "test": 2_000_000}[self.test_part])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Lightning's hook. The loader has already moved the batch to the device."""
        return batch

    def _episodes(self, first_seed: int) -> EpisodeLoader:
        envs = [self.make() for _ in range(min(self.eval_episodes, PARALLEL))]
        return EpisodeLoader(envs, self.eval_episodes, first_seed, *self._actor())

    def _actor(self) -> tuple[Policy, torch.device]:
        model: Any = self.trainer.lightning_module if self.trainer else None
        if self.trainer and self.trainer.world_size > 1:
            raise InputError(f"{type(self).__name__} runs in one process: set accelerator.devices=1")
        if not hasattr(model, "act"):
            name = type(model).__name__
            raise InputError(f"{name} cannot act in an environment: define a method act(observations, explore)")
        return model, model.device


def known_dynamics(table: Any, kind: FiniteEnvironment, start: torch.Tensor) -> Dynamics:
    """Converts gymnasium's table, which lists for each state and action the possible outcomes as tuples of probability,
    next state, reward and whether the episode terminates."""
    transitions = torch.zeros(kind.states, kind.actions, kind.states, dtype=torch.float64)
    rewards = torch.zeros(kind.states, kind.actions, dtype=torch.float64)
    for state in range(kind.states):
        for action in range(kind.actions):
            for probability, following, reward, terminated in table[state][action]:
                rewards[state, action] += probability * reward
                if not terminated:
                    transitions[state, action, int(following)] += probability
    return Dynamics(transitions, rewards, start)


def estimate_dynamics(env: Env, kind: FiniteEnvironment, steps: int) -> Dynamics:
    """Estimates dynamics from the frequencies of the outcomes of random steps. An action that was never tried in a
    state is assumed to end the episode without a reward."""
    transitions = torch.zeros(kind.states, kind.actions, kind.states, dtype=torch.float64)
    rewards, counts = torch.zeros(2, kind.states, kind.actions, dtype=torch.float64)
    start = torch.zeros(kind.states, dtype=torch.float64)
    actions = torch.randint(kind.actions, (steps,)).tolist()
    state = env.reset(seed=int(torch.initial_seed() % 2**31))[0]
    start[state] += 1
    for action in actions:
        following, reward, terminated, truncated, _ = env.step(action)
        counts[state, action] += 1
        rewards[state, action] += float(reward)
        if not terminated:
            transitions[state, action, following] += 1
        if terminated or truncated:
            following = env.reset()[0]
            start[following] += 1
        state = following
    tried = counts.clamp(min=1)
    return Dynamics(transitions / tried[..., None], rewards / tried, start / start.sum())
