"""Value iteration and policy iteration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from primer.batch import Dynamics
from primer.data.environments.gymnasium import ToyText
from primer.errors import InputError
from primer.models.reinforcement.dynamic_programming import DynamicProgramming
from primer.models.reinforcement.policy_iteration import PolicyIteration
from primer.models.reinforcement.value_iteration import ValueIteration
from primer.run.training import train
from primer.spec import FiniteEnvironment, NoTarget, Spec

pytest.importorskip("gymnasium")

START_VALUES = {"FrozenLake-v1": 0.542026, "CliffWalking-v1": -12.247898, "FrozenLake8x8-v1": 0.414640}


def test_two_states_by_hand() -> None:
    """In the first state, one action stays for a reward of 1, and the other one ends the episode for 5."""
    transitions = torch.zeros(2, 2, 2, dtype=torch.float64)
    transitions[0, 0, 0] = 1
    rewards = torch.tensor([[1.0, 5.0], [0.0, 0.0]], dtype=torch.float64)
    dynamics = Dynamics(transitions, rewards, torch.tensor([1.0, 0.0], dtype=torch.float64))
    spec = Spec(FiniteEnvironment(2, 2), NoTarget())
    for kind in (ValueIteration, PolicyIteration):
        for gamma, value, action in ((0.5, 5.0, 1), (0.9, 10.0, 0)):
            model = kind(spec, gamma=gamma)
            model.fit(dynamics)
            assert model.start_value.item() == pytest.approx(value)
            assert model.act(torch.tensor([0]), explore=False).item() == action


@pytest.mark.parametrize("name", [*START_VALUES, "Taxi-v4"])
def test_both_agree(name: str, record_figure: Callable[[str], None]) -> None:
    data = ToyText(id=name, max_episode_steps=100).prepare()
    dynamics, models = data.whole(), [kind(data.spec, gamma=0.99) for kind in (ValueIteration, PolicyIteration)]
    for model in models:
        model.fit(dynamics)
        best = model.values.max(1).values
        assert (model.backup(dynamics, best) - model.values).abs().max() < 1e-9  # The Bellman equation holds.
    difference = (models[0].values - models[1].values).abs().max().item()
    sweeps = " and ".join(str(model.sweeps.item()) for model in models)
    record_figure(f"value and policy iteration on {name}: V(start) {models[0].start_value:.6f}, {sweeps} sweeps")
    assert difference < 1e-8
    assert models[0].start_value.item() == pytest.approx(START_VALUES.get(name, models[1].start_value.item()), abs=1e-6)
    assert models[1].sweeps <= models[0].sweeps


@pytest.mark.parametrize("gamma", [-0.1, 1.0])
def test_gamma_is_below_one(gamma: float) -> None:
    with pytest.raises(InputError, match="gamma must be at least 0 and less than 1"):
        PolicyIteration(Spec(FiniteEnvironment(2, 2), NoTarget()), gamma=gamma)


def test_a_run_with_estimated_dynamics(run_in_process: Callable[..., Any], tmp_path: Any) -> None:
    settings = ("model=value_iteration", "data.dynamics_steps=20000", "data.steps_per_epoch=100", "accelerator=cpu",
                "~callbacks.report")  # fmt: skip
    result = run_in_process("train.py", *settings)
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["train/start_value"] == pytest.approx(START_VALUES["FrozenLake-v1"], abs=0.2)
    assert metrics["test/return"] > 0.6  # The best policy reaches the goal in 74 % of the episodes within 100 steps.
    evaluation = run_in_process("evaluate.py", f"run={result.folder}", "accelerator=cpu")
    assert json.loads((evaluation.folder / "metrics.json").read_text())["test/return"] == metrics["test/return"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("optimizer=sgd",), "optimizer=sgd has no effect on ValueIteration"),
        (("trainer.max_epochs=3",), "trainer.max_epochs=3 has no effect on ValueIteration"),
        (("data=cartpole",), "value_iteration"),
        (("data.id=CartPole-v1", "data=gymnasium"), "ValueIteration does not accept inputs of type Environment"),
    ],
)
def test_what_does_not_fit_is_rejected(
    settings: tuple[str, ...], message: str, run_in_process: Callable[..., Any]
) -> None:
    result = run_in_process("train.py", "model=value_iteration", *settings)
    assert result.status == 2
    assert message in result.err


def test_it_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        DynamicProgramming(Spec(FiniteEnvironment(2, 2), NoTarget()))  # type: ignore[abstract]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["value_iteration", "policy_iteration"])
def test_the_recipe(model: str, command: Callable[..., Any]) -> None:
    metrics = train(command("train", "run", "experiment=frozen_lake_value_iteration", f"model={model}"))
    assert metrics["train/start_value"] == pytest.approx(START_VALUES["FrozenLake-v1"], abs=1e-6)
    assert metrics["test/return"] == pytest.approx(0.74, abs=0.015)
