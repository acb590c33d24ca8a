"""Base class of environments for reinforcement learning, which replace data sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from primer.batch import Episodes, Transition
from primer.data.source import DataSource
from primer.errors import InputError
from primer.spec import Environment as EnvironmentSpec
from primer.spec import NoTarget, Spec


class Env(Protocol):
    """The part of the ``gymnasium.Env`` interface that is used here, with discrete actions."""

    observation_space: Any
    action_space: Any

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]: ...

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...


class Policy(Protocol):
    """A model that acts."""

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Returns actions ``(envs,)`` for observations ``(envs, *observation)``, with exploration if ``explore``."""
        ...


class Environment(DataSource):
    """A data source in which the model acts. The training loader yields ``Transition`` batches; the validation and test
    loaders yield ``Episodes`` played without exploration.

    A subclass creates one environment in ``make``. The model must have a method ``act(observations, explore)``.

    Args:
        num_envs: number of environments that are stepped in parallel during training.
        steps_per_epoch: number of batches in a training epoch; each is one step of all environments.
        eval_episodes: number of episodes in a validation or a test.
        data_dir: unused; the folder of other data sets.
        augmentation: must be empty.

    Raises:
        InputError: if a number is less than 1, or augmentation is given.
    """

    inputs = EnvironmentSpec
    targets = NoTarget

    def __init__(
        self,
        *,
        num_envs: int = 8,
        steps_per_epoch: int = 1000,
        eval_episodes: int = 10,
        data_dir: str | Path = "data",
        augmentation: Any = None,
    ) -> None:
        super().__init__()
        numbers = {"num_envs": num_envs, "steps_per_epoch": steps_per_epoch, "eval_episodes": eval_episodes}
        for name, number in numbers.items():
            if number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        if augmentation:
            raise InputError(f"{type(self).__name__} is an environment, so there is nothing to augment")
        self.num_envs, self.steps_per_epoch, self.eval_episodes = num_envs, steps_per_epoch, eval_episodes
        self._spec: Spec | None = None

    @abstractmethod
    def make(self) -> Env:
        """Creates one environment, such as ``gymnasium.make("CartPole-v1")``."""

    @property
    def spec(self) -> Spec:
        if self._spec is None:
            raise RuntimeError("the environment has not been created yet: call prepare() first")
        return self._spec

    def prepare(self) -> Self:
        if self._spec is None:
            env = self.make()
            if env.observation_space.shape is None or not hasattr(env.action_space, "n"):
                raise InputError(
                    f"{type(self).__name__}: observations must be arrays and actions discrete, but it has "
                    f"{env.observation_space} and {env.action_space}"
                )
            shape = tuple(int(side) for side in env.observation_space.shape)
            self._spec = Spec(EnvironmentSpec(shape, int(env.action_space.n)), NoTarget())
        return self

    def sizes(self) -> dict[str, int]:
        """Returns the number of steps in a training epoch, and of episodes in validation and test."""
        steps = self.num_envs * self.steps_per_epoch
        return {"train": steps, "val": self.eval_episodes, "test": self.eval_episodes}

    def train_dataloader(self) -> ExperienceLoader:
        return ExperienceLoader([self.make() for _ in range(self.num_envs)], self.steps_per_epoch, *self._actor())

    def val_dataloader(self) -> EpisodeLoader:
        return EpisodeLoader(self.make(), self.eval_episodes, 1_000_000, *self._actor())

    def test_dataloader(self) -> EpisodeLoader:
        first = {"train": 3_000_000, "val": 1_000_000, "test": 2_000_000}[self.test_part]
        return EpisodeLoader(self.make(), self.eval_episodes, first, *self._actor())

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Lightning's hook. The loader has already moved the batch to the device."""
        return batch

    def _actor(self) -> tuple[Policy, torch.device]:
        model: Any = self.trainer.lightning_module if self.trainer else None
        if self.trainer and self.trainer.world_size > 1:
            raise InputError(f"{type(self).__name__} runs in one process: set accelerator.devices=1")
        if not hasattr(model, "act"):
            name = type(model).__name__
            raise InputError(f"{name} cannot act in an environment: define a method act(observations, explore)")
        return model, model.device


class ExperienceLoader:
    """Steps environments with the actions of a policy, and starts a new episode when one ends.

    Its state includes the environments, so that a resumed run continues in the middle of their episodes. This works for
    environments whose state consists of numbers and arrays, such as gymnasium's classic control and toy text.

    Args:
        envs: environments to step in parallel; the seeds of their first episodes are derived from PyTorch's seed.
        steps: number of batches in an epoch.
        policy: selects the actions, with exploration.
        device: device of the batches.
    """

    def __init__(self, envs: list[Env], steps: int, policy: Policy, device: torch.device) -> None:
        self.envs, self.steps, self.policy, self.device = envs, steps, policy, device
        self.position = 0
        self._resuming = False
        self._observations: np.ndarray | None = None

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Transition]:
        if not self._resuming:
            self.position = 0
        self._resuming = False
        while self.position < self.steps:
            transition = self._step()
            self.position += 1
            yield transition

    def _step(self) -> Transition:
        if self._observations is None:
            seed = torch.initial_seed() % 2**31
            self._observations = np.stack([env.reset(seed=seed + k)[0] for k, env in enumerate(self.envs)])
        observations = self._tensor(self._observations)
        actions = self.policy.act(observations, explore=True)
        current, reached, rewards, terminated = [], [], [], []  # ``reached`` is before any reset, ``current`` after.
        for env, action in zip(self.envs, actions.tolist(), strict=True):
            observation, reward, is_terminated, is_truncated, _ = env.step(action)
            reached.append(observation)
            current.append(env.reset()[0] if is_terminated or is_truncated else observation)
            rewards.append(float(reward))
            terminated.append(is_terminated)
        self._observations = np.stack(current)
        return Transition(
            observations,
            actions,
            torch.tensor(rewards, device=self.device),
            self._tensor(np.stack(reached)),
            torch.tensor(terminated, device=self.device),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position in the epoch and the state of each environment."""
        started = self._observations is not None
        return {
            "position": self.position,
            "envs": [save_env(env) for env in self.envs] if started else [],
            "observations": torch.from_numpy(self._observations.copy()) if started else None,  # type: ignore[union-attr]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the position of ``state``; after a complete epoch, with the next one."""
        self.position = state["position"]
        self._resuming = 0 < self.position < self.steps
        if state["observations"] is not None:
            self._observations = state["observations"].numpy()
            for env, saved in zip(self.envs, state["envs"], strict=True):
                env.reset(seed=0)
                restore_env(env, saved)


class EpisodeLoader:
    """Plays complete episodes with the actions of a policy, without exploration, from the same seeds in each pass.

    Args:
        env: the environment.
        episodes: number of episodes.
        first_seed: seed of the first episode; it increases by 1 for each further one.
        policy: selects the actions.
        device: device of the observations and batches.
    """

    def __init__(self, env: Env, episodes: int, first_seed: int, policy: Policy, device: torch.device) -> None:
        self.env, self.episodes, self.first_seed = env, episodes, first_seed
        self.policy, self.device = policy, device

    def __len__(self) -> int:
        return self.episodes

    def __iter__(self) -> Iterator[Episodes]:
        for number in range(self.episodes):
            observation, _ = self.env.reset(seed=self.first_seed + number)
            total, length, done = 0.0, 0, False
            while not done:
                batch = torch.as_tensor(np.asarray(observation)[None], dtype=torch.float32, device=self.device)
                action = self.policy.act(batch, explore=False).item()
                observation, reward, terminated, truncated, _ = self.env.step(action)
                total, length, done = total + float(reward), length + 1, terminated or truncated
            yield Episodes(torch.tensor([total], device=self.device), torch.tensor([length], device=self.device))


def save_env(env: Any) -> list[dict[str, Any]]:
    """Returns the numbers, arrays and random number generators of an environment and of those that it wraps, as tensors
    and plain values."""
    return [{name: _plain(value) for name, value in vars(layer).items() if _is_state(value)} for layer in _layers(env)]


def restore_env(env: Any, saved: list[dict[str, Any]]) -> None:
    """Restores the result of ``save_env`` in an environment that has been reset."""
    for layer, values in zip(_layers(env), saved, strict=True):
        for name, value in values.items():
            current = getattr(layer, name)
            if isinstance(current, np.random.Generator):
                current.bit_generator.state = value
            elif isinstance(value, Tensor):
                setattr(layer, name, value.numpy().copy())
            else:
                setattr(layer, name, tuple(value) if isinstance(value, list) else value)


def _layers(env: Any) -> Iterator[Any]:
    yield env
    while "env" in vars(env):
        env = env.env
        yield env


def _is_state(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, bool | int | float | np.generic) for part in value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, bool | int | float | np.number | np.bool_ | np.random.Generator)


def _plain(value: Any) -> Any:
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
