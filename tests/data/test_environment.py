"""Environments: their batches, and resuming within an episode."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primer.data.environment import Environment, EpisodeLoader, ExperienceLoader, restore_env, save_env
from primer.errors import InputError
from primer.spec import Environment as EnvironmentSpec
from primer.spec import NoTarget, Spec

gymnasium = pytest.importorskip("gymnasium")

CPU = torch.device("cpu")


class Corridor:
    """Five positions in a row: the right end terminates the episode, and a limit of four steps truncates it."""

    observation_space = SimpleNamespace(shape=(1,))
    action_space = SimpleNamespace(n=2)

    def __init__(self) -> None:
        self.position, self.steps = 0, 0

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.position, self.steps = 2, 0
        return np.array([2.0]), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.position, self.steps = max(0, self.position + (1 if action else -1)), self.steps + 1
        return np.array([float(self.position)]), float(self.position), self.position == 4, self.steps == 4, {}


class Walk(Environment):
    def make(self) -> Any:
        return Corridor()


class CartPole(Environment):
    def make(self) -> Any:
        return gymnasium.make("CartPole-v1")


class Always:
    """Always takes the same action."""

    device = CPU

    def __init__(self, action: int) -> None:
        self.action = action

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        return torch.full((len(observations),), self.action)


class Random:
    """Takes random actions from its own generator."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def act(self, observations: Tensor, explore: bool) -> Tensor:
        return torch.randint(2, (len(observations),), generator=self.generator)


def test_the_spec_describes_the_environment() -> None:
    data = CartPole(num_envs=3, steps_per_epoch=10, eval_episodes=2).prepare()
    assert data.spec == Spec(EnvironmentSpec((4,), 2), NoTarget())
    assert Spec.from_dict(json.loads(json.dumps(data.spec.to_dict()))) == data.spec
    assert data.sizes() == {"train": 30, "val": 2, "test": 2}


def test_a_new_episode_starts_after_termination() -> None:
    steps = list(ExperienceLoader([Corridor()], 4, Always(1), CPU))  # type: ignore[list-item]
    assert [step.observations.item() for step in steps] == [2, 3, 2, 3]
    assert [step.next_observations.item() for step in steps] == [3, 4, 3, 4]
    assert [step.terminated.item() for step in steps] == [False, True, False, True]
    assert [step.rewards.item() for step in steps] == [3, 4, 3, 4]


def test_a_truncated_episode_is_not_terminated() -> None:
    steps = list(ExperienceLoader([Corridor()], 6, Always(0), CPU))  # type: ignore[list-item]
    assert [step.observations.item() for step in steps] == [2, 1, 0, 0, 2, 1]
    assert steps[3].next_observations.item() == 0  # The last observation, not the first of the next episode.
    assert not any(step.terminated.item() for step in steps)


def test_evaluation_episodes_start_from_the_same_states() -> None:
    env = gymnasium.make("CartPole-v1")
    first, again = (list(EpisodeLoader(env, 3, 7, Always(1), CPU)) for _ in range(2))
    assert [episode.returns.item() for episode in first] == [episode.returns.item() for episode in again]
    assert all(episode.returns.item() == episode.lengths.item() > 5 for episode in first)


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "FrozenLake-v1"])
def test_an_environment_continues_from_its_saved_state(name: str, tmp_path: Any) -> None:
    env, restored = gymnasium.make(name), gymnasium.make(name)
    env.reset(seed=3)
    for action in (0, 1, 1, 0):
        env.step(action)
    torch.save(save_env(env), tmp_path / "env.pt")
    restored.reset(seed=99)
    restore_env(restored, torch.load(tmp_path / "env.pt", weights_only=True))
    for action in (1, 0, 1, 1, 0, 1):
        (expected_observation, *expected), (observation, *found) = (e.step(action) for e in (env, restored))
        assert np.array_equal(observation, expected_observation)
        assert found[:3] == expected[:3]
    assert np.array_equal(env.reset()[0], restored.reset()[0])  # The random number generator continues, too.


def test_a_loader_continues_within_an_epoch(tmp_path: Any) -> None:
    torch.manual_seed(0)
    data = CartPole(num_envs=3)
    whole = ExperienceLoader([data.make() for _ in range(3)], 40, Random(), CPU)
    steps = list(whole) + list(whole)
    policy = Random()
    interrupted = ExperienceLoader([data.make() for _ in range(3)], 40, policy, CPU)
    iterator = iter(interrupted)
    for _ in range(25):
        next(iterator)
    torch.save(interrupted.state_dict(), tmp_path / "loader.pt")
    resumed = ExperienceLoader([data.make() for _ in range(3)], 40, policy, CPU)
    resumed.load_state_dict(torch.load(tmp_path / "loader.pt", weights_only=True))
    rest = list(resumed) + list(resumed)
    assert len(rest) == 55
    for expected, found in zip(steps[25:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", ["num_envs", "steps_per_epoch", "eval_episodes"])
def test_a_number_below_one_is_rejected(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1, not 0"):
        Walk(**{name: 0})


def test_a_model_that_cannot_act_and_augmentation_are_rejected() -> None:
    data = Walk()
    data.trainer = SimpleNamespace(lightning_module=torch.nn.Linear(1, 1), world_size=1)  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"Linear cannot act in an environment: define a method act"):
        data.train_dataloader()
    with pytest.raises(InputError, match="Walk is an environment, so there is nothing to augment"):
        Walk(augmentation=[object()])


@pytest.mark.parametrize("name", ["Pendulum-v1", "Blackjack-v1"])
def test_spaces_that_are_not_supported_are_rejected(name: str) -> None:
    class Other(Environment):
        def make(self) -> Any:
            return gymnasium.make(name)

    with pytest.raises(InputError, match="Other: observations must be arrays and actions discrete, but it has"):
        Other().prepare()
