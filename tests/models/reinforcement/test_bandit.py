"""Policies of bandits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

from primer.data.environments.bandit import BanditLoader, MultiArmedBandit
from primer.errors import InputError
from primer.models.reinforcement.bandit import BanditPolicy
from primer.spec import Arms, NoTarget, Spec

SPEC = Spec(Arms(3), NoTarget())


def started(policy: str, runs: int, rewards: str = "gaussian", **settings: Any) -> BanditPolicy:
    model = BanditPolicy(Spec(Arms(3, rewards), NoTarget()), policy=policy, **settings)  # type: ignore[arg-type]
    model.start(runs, seed=0)
    return model


def frequencies(model: BanditPolicy) -> list[float]:
    arms = model.pull()
    return [(arms == arm).float().mean().item() for arm in range(3)]


def known(policy: str, rewards: str = "gaussian", **settings: Any) -> BanditPolicy:
    """Returns a policy that has pulled its arms 4, 1 and 2 times, in each of many runs."""
    model = started(policy, 40_000, rewards, **settings)
    model.counts[:], model.sums[:] = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([2.0, 0.4, 0.6])
    return model


def test_each_policy_pulls_arms_with_the_right_probabilities() -> None:
    assert frequencies(known("greedy")) == [1, 0, 0]
    assert frequencies(known("epsilon_greedy", exploration=0.3)) == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    weights = torch.tensor([0.5, 0.4, 0.3]).div(0.25).softmax(0)
    assert frequencies(known("softmax", exploration=0.25)) == pytest.approx(weights.tolist(), abs=0.01)
    bounds = [mean + math.sqrt(2 * math.log(7) / n) for mean, n in ((0.5, 4), (0.4, 1), (0.3, 2))]
    scores = known("ucb").scores()[0]
    assert scores.tolist() == pytest.approx(bounds, rel=1e-5)
    torch.manual_seed(0)
    draws = torch.tensor([2 / 5, 0.4 / 2, 0.6 / 3]) + torch.randn(200_000, 3) / torch.tensor([5.0, 2.0, 3.0]).sqrt()
    expected = [(draws.argmax(1) == arm).float().mean().item() for arm in range(3)]
    assert frequencies(known("thompson")) == pytest.approx(expected, abs=0.01)
    draws = torch.stack(
        [torch.distributions.Beta(1 + s, 1 + n - s).sample((200_000,)) for n, s in ((4.0, 2.0), (1.0, 0.4), (2.0, 0.6))]
    )
    expected = [(draws.argmax(0) == arm).float().mean().item() for arm in range(3)]
    assert frequencies(known("thompson", "bernoulli")) == pytest.approx(expected, abs=0.01)


def test_ucb_pulls_each_arm_once_first() -> None:
    model = started("ucb", 50)
    for _ in range(3):
        model.observe(model.pull(), torch.zeros(50))
    assert torch.equal(model.counts, torch.ones(50, 3))


def test_regret_by_hand() -> None:
    means = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]])

    class Second:
        def start(self, runs: int, seed: int) -> None: ...

        def observe(self, arms: torch.Tensor, rewards: torch.Tensor) -> None: ...

        def pull(self) -> torch.Tensor:
            return torch.tensor([1, 1])

    loader = BanditLoader(means, "gaussian", 2000, Second(), torch.Generator().manual_seed(0), restart=True)
    steps = list(loader)
    assert steps[0].regrets.tolist() == [0, 3]
    assert steps[0].optimal.tolist() == [True, False]
    rewards = torch.stack([step.rewards for step in steps])
    assert rewards.mean(0).tolist() == pytest.approx([2, 0], abs=0.1)
    assert rewards.std(0).tolist() == pytest.approx([1, 1], abs=0.1)
    assert torch.equal(torch.stack([step.rewards for step in loader]), rewards)  # The same rewards in each pass.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "gittins"}, "policy"),
        ({"policy": "greedy", "exploration": 0.1}, "policy=greedy does not have an amount of exploration"),
        ({"exploration": 1.5}, "exploration=1.5 is out of range for policy=epsilon_greedy"),
        ({"policy": "softmax", "exploration": 0.0}, "exploration must be more than 0 for policy=softmax"),
    ],
)
def test_a_setting_that_does_not_fit_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        BanditPolicy(SPEC, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"arms": 1}, "arms must be at least 2"), ({"rewards": "cauchy"}, "rewards")],
)
def test_a_bandit_that_does_not_exist_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        MultiArmedBandit(**settings)


def test_the_seed_changes_the_choices_and_not_the_bandits(quiet_trainer: Callable[..., Any]) -> None:
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        data = MultiArmedBandit(runs=20, eval_steps=20)
        model = BanditPolicy(data.spec, policy="epsilon_greedy", exploration=0.5)
        (metrics,) = quiet_trainer().test(model, datamodule=data, verbose=False)
        found.append((metrics["test/regret"], data.test_dataloader().means))
    assert found[0][0] == found[1][0] != found[2][0]
    assert torch.equal(found[0][1], found[2][1])


def test_a_run_draws_the_regret_and_resumes_exactly(run_in_process: Callable[..., Any]) -> None:
    common = ("model=bandit", "data.runs=50", "data.eval_steps=40", "model.policy=thompson", "data.rewards=bernoulli",
              "data.steps_per_epoch=20", "trainer.max_epochs=2", "accelerator=cpu", "~callbacks.report")  # fmt: skip
    whole = run_in_process("train.py", *common)
    assert whole.status == 0, whole.err
    metrics = json.loads((whole.folder / "metrics.json").read_text())
    assert {"train/optimal_arm", "train/regret", "test/optimal_arm", "test/regret"} <= metrics.keys()
    assert (whole.folder / "pictures" / "regret.png").is_file()
    stopped = run_in_process("train.py", *common, "trainer.max_steps=27")
    resumed = run_in_process("train.py", f"resume={stopped.folder}", "trainer.max_steps=-1")
    assert resumed.status == 0, resumed.err
    assert (resumed.folder / "metrics.csv").read_bytes() == (whole.folder / "metrics.csv").read_bytes()

    def memory(folder: Path) -> dict[str, torch.Tensor]:
        content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        return content["callbacks"]["Resume"]["model"]

    assert memory(whole.folder)["counts"].sum() == 50 * 40
    assert all(torch.equal(memory(resumed.folder)[name], value) for name, value in memory(whole.folder).items())
    evaluation = run_in_process("evaluate.py", f"run={whole.folder}", "accelerator=cpu")
    assert json.loads((evaluation.folder / "metrics.json").read_text())["test/regret"] == metrics["test/regret"]


def test_policies_rank_as_in_the_literature(quiet_trainer, record_figure: Callable[[str], None]) -> None:
    """Ten Gaussian arms, 1,000 steps, 2,000 runs (Sutton and Barto 2018, figure 2.2)."""
    found = {}
    policies = (("greedy", None), ("epsilon_greedy", 0.01), ("epsilon_greedy", 0.1), ("ucb", None), ("thompson", None))
    for policy, exploration in policies:
        data = MultiArmedBandit()
        model = BanditPolicy(data.spec, policy=policy, exploration=exploration)  # type: ignore[arg-type]
        (metrics,) = quiet_trainer().test(model, datamodule=data, verbose=False)
        found[policy, exploration] = metrics["test/optimal_arm"]
    fractions = list(found.values())
    record_figure(f"ten_armed_bandits, best arm at the end: {', '.join(f'{value:.3f}' for value in fractions)}")
    assert fractions == sorted(fractions)
    assert fractions == pytest.approx([0.35, 0.59, 0.80, 0.90, 0.92], abs=0.015)
