"""The deep Q-network, its replay buffer and its recipe."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

from primer.batch import Transition
from primer.errors import InputError
from primer.models.reinforcement.dqn import DQN, DuelingHead
from primer.models.reinforcement.replay import ReplayBuffer
from primer.run.training import train
from primer.spec import Environment, FiniteEnvironment, NoTarget, Spec

SPEC = Spec(Environment((4,), 3), NoTarget())
SMALL = (
    "model=dqn", "accelerator=cpu", "data.num_envs=5", "data.steps_per_epoch=60", "data.eval_episodes=3",
    "model.learning_starts=100", "model.buffer_size=200", "model.batch_size=16", "model.hidden_sizes=[8]",
    "model.train_frequency=10", "model.target_network_frequency=50", "~callbacks.report",
)  # fmt: skip


def transitions(count: int, first: int = 0) -> Transition:
    numbers = torch.arange(first, first + count)
    observations = numbers[:, None].float().expand(-1, 4).clone()
    return Transition(observations, numbers % 3, numbers.float(), observations + 1, numbers % 5 == 0)


def test_the_loss_by_hand() -> None:
    torch.manual_seed(0)
    batch = transitions(8)
    for double in (False, True):
        model = DQN(SPEC, hidden_sizes=[6], double=double, loss="mse", gamma=0.9)
        model.target = copy.deepcopy(model.target)
        torch.nn.init.normal_(model.target[-1].weight)  # type: ignore[arg-type]
        expected = []
        for k in range(8):
            now, following = model.network(batch.observations[k]), model.target(batch.next_observations[k])
            chosen = model.network(batch.next_observations[k]).argmax() if double else following.argmax()
            target = batch.rewards[k] + (0.0 if batch.terminated[k] else 0.9 * following[chosen])
            expected.append((target - now[batch.actions[k]]) ** 2)
        step = model.step(batch)
        assert step.loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
        step.loss.backward()
        assert all(parameter.grad is None for parameter in model.target.parameters())
        assert all(parameter.grad is not None for parameter in model.network.parameters())


def test_double_equals_plain_where_both_networks_agree() -> None:
    torch.manual_seed(0)
    plain, double = (DQN(SPEC, double=value) for value in (False, True))
    double.load_state_dict(plain.state_dict())
    observations = torch.randn(50, 4)
    assert torch.equal(plain.next_values(observations), double.next_values(observations))
    torch.nn.init.normal_(double.network[-1].weight)  # type: ignore[arg-type]
    assert (double.next_values(observations) <= plain.next_values(observations)).all()
    assert not torch.equal(plain.next_values(observations), double.next_values(observations))


def test_advantages_have_a_mean_of_zero() -> None:
    torch.manual_seed(0)
    model = DQN(SPEC, dueling=True)
    head = model.network[-1]
    assert isinstance(head, DuelingHead)
    observations = torch.randn(20, 4)
    values = head.value(model.network[:-1](observations))
    assert (model(observations) - values).mean(1).abs().max() < 1e-6


def test_the_buffer_keeps_the_latest_transitions() -> None:
    buffer = ReplayBuffer(7)
    for first in range(0, 18, 3):
        buffer.add(transitions(3, first))
    assert buffer.rows is not None
    assert sorted(buffer.rows.rewards.tolist()) == list(range(11, 18))
    sample = buffer.sample(500)
    assert set(sample.rewards.tolist()) == set(range(11, 18))
    assert torch.equal(sample.next_observations[:, 0], sample.rewards + 1)  # Parts of a transition stay together.
    partly = ReplayBuffer(7)
    partly.add(transitions(3))
    assert set(partly.sample(100).rewards.tolist()) == {0, 1, 2}
    restored = ReplayBuffer(7)
    restored.load_state_dict(partly.state_dict(), torch.device("cpu"))
    for one in (partly, restored):
        one.add(transitions(5, 3))
    assert all(torch.equal(a, b) for a, b in zip(partly.rows, restored.rows, strict=True))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="replay buffer of the checkpoint is incomplete"):
        restored.load_state_dict(partly.state_dict() | {"added": 3}, torch.device("cpu"))


def test_the_target_network_follows() -> None:
    for tau in (1.0, 0.25):
        model = DQN(SPEC, hidden_sizes=[4], target_network_frequency=10, tau=tau)
        before = [parameter.clone() for parameter in model.target.parameters()]
        for parameter in model.network.parameters():
            parameter.data += 1
        model.observe(transitions(6))
        assert all(torch.equal(a, b) for a, b in zip(before, model.target.parameters(), strict=True))
        model.observe(transitions(6))  # The tenth step is among these.
        for old, new, network in zip(before, model.target.parameters(), model.network.parameters(), strict=True):
            torch.testing.assert_close(new, old + tau * (network - old))


def test_states_are_encoded() -> None:
    model = DQN(Spec(FiniteEnvironment(5, 2), NoTarget()), hidden_sizes=[])
    weight, bias = model.network[0].weight, model.network[0].bias
    torch.testing.assert_close(model(torch.tensor([3])), weight[:, 3:4].T + bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": 0.0}, "tau must be more than 0"),
        ({"loss": "mae"}, "loss"),
        ({"buffer_size": 0}, "buffer_size must be at least 1"),
        ({"learning_starts": -1}, "learning_starts must be at least 0"),
        ({"start_e": 1.5}, "start_e must be at least 0 and at most 1"),
        ({"hidden_sizes": [0]}, "hidden_sizes must be at least 1"),
    ],
)
def test_a_setting_out_of_range_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        DQN(SPEC, **settings)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.num_envs=3", "model.train_frequency=10 must be a multiple of data.num_envs=3"),
        ("model.buffer_size=4", "model.buffer_size=4 holds fewer transitions than one step of data.num_envs=5"),
        ("data=digits", "dqn"),
    ],
)
def test_what_does_not_fit_is_rejected(setting: str, message: str, run_in_process: Callable[..., Any]) -> None:
    settings = SMALL if not setting.startswith("data=") else ("model=dqn",)
    result = run_in_process("train.py", *settings, setting)
    assert result.status == 2
    assert message in result.err


def test_a_run_draws_pictures_and_resumes_exactly_after_a_signal(
    run_in_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = (*SMALL, "trainer.max_epochs=2", "regularization.l2=1e-4", "trainer.gradient_clip_val=1")

    def state(folder: Path) -> dict[str, torch.Tensor]:
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    whole = run_in_process("train.py", *common)
    assert whole.status == 0, whole.err
    metrics = json.loads((whole.folder / "metrics.json").read_text())
    assert {"train/loss", "train/return", "val/return", "test/return", "test/length"} <= metrics.keys()
    assert metrics["steps"] == 60
    for name in ("curves", "values", "episode"):
        assert (whole.folder / "pictures" / f"{name}.png").is_file()

    sample, calls = ReplayBuffer.sample, iter(range(1, 1000))

    def sample_or_end(buffer: ReplayBuffer, count: int) -> Transition:
        if next(calls) == 35:  # In the second epoch, in the middle of episodes.
            os.kill(os.getpid(), signal.SIGTERM)
        return sample(buffer, count)

    monkeypatch.setattr(ReplayBuffer, "sample", sample_or_end)
    stopped = run_in_process("train.py", *common)
    assert stopped.status == 143
    found = re.fullmatch(r"terminated: saved step 44 \(epoch 2\); to continue: python train\.py (.*)\n", stopped.err)
    assert found, stopped.err
    resumed = run_in_process("train.py", *shlex.split(found[1]), logs=False)
    assert resumed.status == 0, resumed.err
    expected, found = state(whole.folder), state(resumed.folder)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert (resumed.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()
    evaluation = run_in_process("evaluate.py", f"run={whole.folder}", "accelerator=cpu")
    assert json.loads((evaluation.folder / "metrics.json").read_text())["test/return"] == metrics["test/return"]


def test_it_learns_a_grid(run_in_process: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    result = run_in_process(
        "train.py", "model=dqn", "data=frozen_lake", "data.options={is_slippery:false}", "data.eval_episodes=1",
        "data.steps_per_epoch=500", "trainer.max_epochs=4", "model.learning_starts=1000", "model.hidden_sizes=[32]",
        "model.batch_size=64", "model.gamma=0.9", "optimizer.lr=0.01", "accelerator=cpu", "~callbacks.report",
    )  # fmt: skip
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    record_figure(f"dqn on FrozenLake without slipping: {metrics['test/length']:g} steps to the goal")
    assert (metrics["test/return"], metrics["test/length"]) == (1, 6)
    assert (result.folder / "pictures" / "policy.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_recipe(seed: int, command: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    metrics = train(command("train", "run", "experiment=cartpole_dqn", f"seed={seed}", "accelerator=cpu"))
    record_figure(f"cartpole_dqn, seed {seed}: return {metrics['test/return']:.1f} in {metrics['fit_seconds']:.0f} s")
    assert metrics["test/return"] >= 475
