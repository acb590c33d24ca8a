"""Environments: their batches, and resuming within an episode."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primer.data.environment import Environment, estimate_dynamics
from primer.data.environments.gymnasium import ClassicControl, Gymnasium, ToyText
from primer.data.loading.experience import EpisodeLoader, ExperienceLoader, restore_env, save_env, to_tensor
from primer.errors import InputError
from primer.spec import Environment as EnvironmentSpec
from primer.spec import FiniteEnvironment, NoTarget, Spec

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
    envs = [gymnasium.make("CartPole-v1") for _ in range(3)]
    first, again, single = (list(EpisodeLoader(envs[:n], 3, 7, Always(1), CPU)) for n in (3, 2, 1))  # type: ignore[arg-type]
    assert [len(batches) for batches in (first, again, single)] == [1, 2, 3]
    returns, lengths = (torch.cat([batch[k] for batch in first]) for k in (0, 1))
    for batches in (again, single):  # In any number of environments.
        assert torch.equal(torch.cat([batch.returns for batch in batches]), returns)
    assert torch.equal(returns, lengths.float())
    assert len(set(returns.tolist())) > 1


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

    with pytest.raises(InputError, match="Other: observations must be arrays or discrete, and actions discrete"):
        Other().prepare()


class Learner(Random):
    """Learns from batches of several steps, and takes notes of what it observes."""

    steps_per_batch = 4

    def __init__(self) -> None:
        super().__init__()
        self.observed: list[Any] = []

    def observe(self, transition: Any) -> None:
        self.observed.append(transition)


def test_a_batch_may_have_several_steps() -> None:
    learner = Learner()
    loader = ExperienceLoader([Corridor(), Corridor()], 10, learner, CPU)  # type: ignore[list-item]
    batches = list(loader)
    assert [batch.size for batch in batches] == [8, 8, 4]
    assert len(loader) == 3
    for field in range(5):
        observed = torch.cat([transition[field] for transition in learner.observed])
        assert torch.equal(torch.cat([batch[field] for batch in batches]), observed)


@pytest.mark.parametrize("name", ["CartPole-v1", "Taxi-v4", "FrozenLake-v1"])
def test_no_transition_leads_from_one_episode_to_the_next(name: str) -> None:
    """The successor of each observation is the next one, or the episode has ended and another one starts."""
    envs = [gymnasium.make(name, max_episode_steps=15) for _ in range(2)]

    class Actions(Random):
        def act(self, observations: Tensor, explore: bool) -> Tensor:
            return torch.randint(int(envs[0].action_space.n), (len(observations),), generator=self.generator)  # type: ignore[attr-defined]

    loader = ExperienceLoader(envs, 200, Actions(), CPU)  # type: ignore[arg-type]
    steps = list(loader)
    ended = 0
    for before, after in pairwise(steps):
        continues = (before.next_observations == after.observations).reshape(2, -1).all(1)
        if name == "CartPole-v1":  # Its episodes start near zero, and never where one has ended.
            assert not (continues & before.terminated).any()
            assert (after.observations[~continues].abs() <= 0.05).all()
        ended += int((~continues).sum())
    assert ended > 10
    assert loader.finished[1] >= ended  # An episode may start where the previous one has ended.


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (ClassicControl(id="Acrobot-v1"), EnvironmentSpec((6,), 3)),
        (ToyText(id="FrozenLake-v1"), FiniteEnvironment(16, 4, ("←", "↓", "→", "↑"), (4, 4))),
        (ToyText(id="FrozenLake8x8-v1"), FiniteEnvironment(64, 4, ("←", "↓", "→", "↑"), (8, 8))),
        (ToyText(id="CliffWalking-v1", max_episode_steps=100), FiniteEnvironment(48, 4, ("↑", "→", "↓", "←"), (4, 12))),
        (ToyText(id="Taxi-v4"), FiniteEnvironment(500, 6, ("↓", "↑", "→", "←", "pick up", "drop off"), (5, 5))),
        (Gymnasium(id="Taxi-v4"), FiniteEnvironment(500, 6)),
    ],
)
def test_the_spec_describes_environments_of_gymnasium(data: Gymnasium, kind: Any) -> None:
    spec = data.prepare().spec
    assert spec == Spec(kind, NoTarget())
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": "CartPol-v1"}, r"data.id=CartPol-v1: .*did you mean CartPole-v1\?"),
        ({"id": "CartPole-v1", "options": {"wind": 1}}, "data.id=CartPole-v1: .*wind"),
        ({"id": "CartPole-v1", "max_episode_steps": 0}, "max_episode_steps must be at least 1"),
        ({"id": "Taxi-v3"}, "data.id=Taxi-v3: .*Taxi-v4"),
        ({"id": "CliffWalking-v1"}, "CliffWalking-v1 has no limit of steps, .*: set data.max_episode_steps=500"),
        ({"id": "FrozenLake-v1", "options": {"map_name": "9x9"}}, "data.options: FrozenLake-v1 rejects .*9x9"),
    ],
)
def test_an_environment_that_does_not_exist_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Gymnasium(**settings).prepare()
    assert "\n" not in str(error.value)


def test_integers_are_states_only_if_they_are_scalars() -> None:
    states = to_tensor(np.array([3, 5]), CPU)
    images = to_tensor(np.full((2, 4), 255, dtype=np.uint8), CPU)
    assert states.dtype == torch.int64
    assert images.dtype == torch.float32
    assert images.max() == 255


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"data=gymnasium and others need gymnasium: pip install 'primer\[rl\]'"):
        ClassicControl(id="CartPole-v1").prepare()


def test_dynamics_are_known_or_estimated() -> None:
    data = ToyText(id="FrozenLake-v1").prepare()
    known = data.whole()
    holes = [5, 7, 11, 12, 15]
    leaving = known.transitions.sum(2)
    inner = [state for state in range(16) if state not in holes]
    assert leaving[inner].max().item() == pytest.approx(1)
    assert leaving[holes].abs().max() == 0
    assert leaving[14, 2].item() == pytest.approx(2 / 3)  # It slips to the goal, where the episode terminates.
    assert known.rewards[14, 2].item() == pytest.approx(1 / 3)
    assert known.start.tolist() == [1] + 15 * [0]
    torch.manual_seed(0)
    estimated = estimate_dynamics(data.make(), data.spec.input, 60_000)  # type: ignore[arg-type]
    assert (estimated.transitions[inner] - known.transitions[inner]).abs().max() < 0.2
    assert (estimated.transitions[0] - known.transitions[0]).abs().max() < 0.02
    with pytest.raises(InputError, match="does not have a finite number of states"):
        ClassicControl(id="CartPole-v1").prepare().whole()
