"""Loaders that step environments with the actions of a model, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from primer.batch import Episodes, Transition


class Env(Protocol):
    """The part of the ``gymnasium.Env`` interface that is used here, with discrete actions."""

    observation_space: Any
    action_space: Any

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]: ...

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...


class Policy(Protocol):
    """A model that acts.

    It may also have a method ``observe(transition)``, which is called after each step of training, and an attribute
    ``steps_per_batch``, the number of steps of all environments in a training batch, which is 1 by default.
    """

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        """Returns actions ``(envs,)`` for observations ``(envs, *observation)``, with exploration if ``explore``."""
        ...


class ExperienceLoader:
    """Steps environments with the actions of a policy, and starts a new episode when one ends.

    A new episode starts in the same step in which the previous one ends, so that no transition leads from one episode
    to the next.

    Its state includes the environments, so that a resumed run continues in the middle of their episodes. This works for
    environments whose state consists of numbers and arrays, such as gymnasium's classic control and toy text.

    Args:
        envs: environments to step in parallel; the seeds of their first episodes are derived from PyTorch's seed.
        steps: number of steps of all environments in an epoch.
        policy: selects the actions, with exploration.
        device: device of the batches.

    Attributes:
        finished: the sum of the returns of the episodes that ended in this epoch, and their number.
    """

    def __init__(self, envs: list[Env], steps: int, policy: Policy, device: torch.device) -> None:
        self.envs, self.steps, self.policy, self.device = envs, steps, policy, device
        self.steps_per_batch: int = getattr(policy, "steps_per_batch", 1)
        self.observe = getattr(policy, "observe", None)
        self.position = 0
        self.finished = np.zeros(2)
        self._returns = np.zeros(len(envs))
        self._resuming = False
        self._observations: np.ndarray | None = None

    def __len__(self) -> int:
        return -(-self.steps // self.steps_per_batch)

    def __iter__(self) -> Iterator[Transition]:
        if not self._resuming:
            self.position, self.finished = 0, np.zeros(2)
        self._resuming = False
        while self.position < len(self):
            first = self.position * self.steps_per_batch
            steps = [self._step() for _ in range(min(self.steps_per_batch, self.steps - first))]
            self.position += 1
            yield steps[0] if len(steps) == 1 else Transition(*map(torch.cat, zip(*steps, strict=True)))

    def _step(self) -> Transition:
        if self._observations is None:
            seed = torch.initial_seed() % 2**31
            self._observations = np.stack([env.reset(seed=seed + k)[0] for k, env in enumerate(self.envs)])
        observations = to_tensor(self._observations, self.device)
        actions = self.policy.act(observations, explore=True)
        reached, rewards, terminated, restarted = [], [], [], {}
        for k, (env, action) in enumerate(zip(self.envs, actions.tolist(), strict=True)):
            observation, reward, is_terminated, is_truncated, _ = env.step(action)
            reached.append(observation)
            rewards.append(float(reward))
            terminated.append(is_terminated)
            self._returns[k] += rewards[-1]
            if is_terminated or is_truncated:
                restarted[k] = env.reset()[0]
                self.finished += self._returns[k], 1
                self._returns[k] = 0
        next_observations = self._observations = np.array(reached)  # Faster than np.stack.
        if restarted:
            self._observations = next_observations.copy()
            for k, observation in restarted.items():
                self._observations[k] = observation
        transition = Transition(
            observations,
            actions,
            torch.tensor(rewards, device=self.device),
            to_tensor(next_observations, self.device),
            torch.tensor(terminated, device=self.device),
        )
        if self.observe is not None:
            self.observe(transition)
        return transition

    def state_dict(self) -> dict[str, Any]:
        """Returns the position in the epoch and the state of each environment."""
        started = self._observations is not None
        return {
            "position": self.position,
            "envs": [save_env(env) for env in self.envs] if started else [],
            "observations": torch.from_numpy(self._observations.copy()) if started else None,  # type: ignore[union-attr]
            "finished": torch.from_numpy(self.finished.copy()),
            "returns": torch.from_numpy(self._returns.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the position of ``state``; after a complete epoch, with the next one."""
        self.position = state["position"]
        self._resuming = 0 < self.position < len(self)
        self.finished, self._returns = state["finished"].numpy().copy(), state["returns"].numpy().copy()
        if state["observations"] is not None:
            self._observations = state["observations"].numpy()
            for env, saved in zip(self.envs, state["envs"], strict=True):
                env.reset(seed=0)
                restore_env(env, saved)


class EpisodeLoader:
    """Plays complete episodes with the actions of a policy, without exploration, from the same seeds in each pass.

    Args:
        envs: environments to step in parallel: as many episodes are in a batch.
        episodes: number of episodes.
        first_seed: seed of the first episode; it increases by 1 for each further one.
        policy: selects the actions.
        device: device of the observations and batches.
    """

    def __init__(self, envs: list[Env], episodes: int, first_seed: int, policy: Policy, device: torch.device) -> None:
        self.envs, self.episodes, self.first_seed = envs, episodes, first_seed
        self.policy, self.device = policy, device

    def __len__(self) -> int:
        return -(-self.episodes // len(self.envs))

    def __iter__(self) -> Iterator[Episodes]:
        for first in range(0, self.episodes, len(self.envs)):
            yield self._play(self.envs[: self.episodes - first], self.first_seed + first)

    def _play(self, envs: list[Env], first_seed: int) -> Episodes:
        observations = np.stack([env.reset(seed=first_seed + k)[0] for k, env in enumerate(envs)])
        returns, lengths = np.zeros(len(envs)), np.zeros(len(envs), dtype=np.int64)
        running = list(range(len(envs)))
        while running:
            batch = to_tensor(observations[running], self.device)
            actions = self.policy.act(batch, explore=False).tolist()
            for k, action in zip(tuple(running), actions, strict=True):
                observations[k], reward, terminated, truncated, _ = envs[k].step(action)
                returns[k] += float(reward)
                lengths[k] += 1
                if terminated or truncated:
                    running.remove(k)
        return Episodes(
            torch.tensor(returns, dtype=torch.float32, device=self.device), torch.tensor(lengths, device=self.device)
        )


def to_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """Returns observations in single precision, and states, ``(envs,)`` integers, as such."""
    is_state = array.ndim == 1 and array.dtype.kind in "iu"
    return torch.as_tensor(array, dtype=torch.int64 if is_state else torch.float32, device=device)


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
