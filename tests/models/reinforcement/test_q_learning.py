"""Q-learning and SARSA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.batch import Transition
from primer.data.environments.gymnasium import ToyText
from primer.errors import InputError
from primer.models.reinforcement.agent import Exploration
from primer.models.reinforcement.q_learning import QLearning
from primer.models.reinforcement.sarsa import SARSA
from primer.run.training import train
from primer.spec import FiniteEnvironment, NoTarget, Spec

pytest.importorskip("gymnasium")

SPEC = Spec(FiniteEnvironment(3, 2), NoTarget())


def transition(state: int, action: int, reward: float, following: int, terminated: bool) -> Transition:
    return Transition(
        torch.tensor([state]),
        torch.tensor([action]),
        torch.tensor([reward]),
        torch.tensor([following]),
        torch.tensor([terminated]),
    )


def test_q_learning_by_hand() -> None:
    model = QLearning(SPEC, learning_rate=0.5, gamma=0.9)
    model.values[1] = torch.tensor([2.0, 4.0])
    model.observe(transition(0, 1, 1.0, 1, False))
    assert model.values[0].tolist() == pytest.approx([0.0, 0.5 * (1 + 0.9 * 4)])
    model.observe(transition(2, 0, 1.0, 1, True))  # Nothing follows a termination.
    assert model.values[2].tolist() == pytest.approx([0.5, 0.0])


def test_sarsa_learns_from_the_action_that_it_takes_next() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        model = SARSA(SPEC, learning_rate=0.5, gamma=0.9, start_e=0.5, end_e=0.5)
        model.values[1] = torch.tensor([2.0, 4.0])
        model.observe(transition(0, 1, 1.0, 1, False))
        action = int(model.act(torch.tensor([1]), explore=True))
        assert model.values[0, 1].item() == pytest.approx(0.5 * (1 + 0.9 * (2.0, 4.0)[action]))
    taken = {int(model.act(torch.tensor([2]), explore=True)) for _ in range(20)}
    assert taken == {0, 1}  # Nothing is planned for another state, in which a new episode has started.


def test_exploration_decreases_linearly() -> None:
    exploration = Exploration(1.0, 0.1, 0.5)
    exploration.total = 100
    found = []
    for exploration.seen in (0, 25, 50, 99):
        found.append(exploration.epsilon)
    assert found == pytest.approx([1.0, 0.55, 0.1, 0.1])
    torch.manual_seed(0)
    values = torch.tensor([[0.0, 1.0]]).expand(4000, 2)
    assert exploration.choose(values, 0.0).float().mean() == 1
    assert exploration.choose(values, 0.4).float().mean().item() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"gamma": 1.1}, "gamma must be at least 0 and at most 1"),
        ({"end_e": 2.0}, "end_e must be at least 0 and at most 1"),
        ({"steps_per_batch": 0}, "steps_per_batch must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QLearning(SPEC, **settings)


@pytest.mark.parametrize("model", ["q_learning", "sarsa"])
def test_a_resumed_run_equals_an_unbroken_one(model: str, run_in_process: Callable[..., Any]) -> None:
    common = (
        f"model={model}", "data.steps_per_epoch=300", "data.num_envs=3", "model.steps_per_batch=20", "accelerator=cpu",
        "~callbacks.pictures", "~callbacks.report", "trainer.max_epochs=3", "test=false",
        "model.start_e=0.3", "model.end_e=0.3",  # Otherwise, it depends on the length of the run.
    )  # fmt: skip

    def values(folder: Path) -> torch.Tensor:
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["values"]

    whole = run_in_process("train.py", *common)
    assert whole.status == 0, whole.err
    stopped = run_in_process("train.py", *common, "trainer.max_steps=22")
    assert not torch.equal(values(stopped.folder), values(whole.folder))
    resumed = run_in_process("train.py", f"resume={stopped.folder}", "trainer.max_steps=-1")
    assert resumed.status == 0, resumed.err
    assert torch.equal(values(resumed.folder), values(whole.folder))
    assert (resumed.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("steps_per_batch", [1, 7, 20, 1000])
def test_exploration_ends_with_the_run(epochs: int, steps_per_batch: int, quiet_trainer: Callable[..., Any]) -> None:
    data = ToyText(id="CliffWalking-v1", max_episode_steps=10, steps_per_epoch=20, num_envs=2).prepare()
    model = QLearning(data.spec, steps_per_batch=steps_per_batch)
    quiet_trainer(max_epochs=epochs, limit_val_batches=0).fit(model, datamodule=data)
    assert model.exploration.seen == model.exploration.total == 20 * 2 * epochs


def test_a_time_limit_alone_is_rejected(run_in_process: Callable[..., Any]) -> None:
    settings = ("model=q_learning", "trainer.max_epochs=-1", "trainer.max_time=00:00:01:00")
    result = run_in_process("train.py", *settings)
    assert result.status == 2
    assert "needs an end" in result.err


def test_settings_of_gradients_are_rejected(run_in_process: Callable[..., Any]) -> None:
    for setting in ("optimizer.lr=0.1", "scheduler=linear", "regularization.l2=0.1", "trainer.gradient_clip_val=1"):
        result = run_in_process("train.py", "model=sarsa", setting)
        assert result.status == 2
        assert "has no effect on SARSA, which learns without gradients" in result.err


def test_q_learning_walks_along_the_cliff_and_sarsa_keeps_away(
    run_in_process: Callable[..., Any], record_figure: Callable[[str], None]
) -> None:
    returns = {}
    for model in ("q_learning", "sarsa"):
        result = run_in_process("train.py", "experiment=cliff_walking", f"model={model}", "accelerator=cpu",
                                "callbacks=[_checkpoint]", "trainer.check_val_every_n_epoch=20")  # fmt: skip
        assert result.status == 0, result.err
        metrics = json.loads((result.folder / "metrics.json").read_text())
        returns[model] = metrics["test/return"], metrics["train/return"]
    record_figure(f"cliff walking, return of the test, and with exploration: {returns}")
    assert returns["q_learning"][0] == -13
    assert returns["sarsa"][0] == -17
    assert returns["sarsa"][1] > returns["q_learning"][1]


@pytest.mark.slow
def test_the_recipe_of_taxi(command: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    metrics = train(command("train", "run", "experiment=taxi_q_learning", "accelerator=cpu"))
    record_figure(f"taxi_q_learning: return {metrics['test/return']:.2f}")
    assert metrics["test/return"] >= 7.5
