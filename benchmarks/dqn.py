"""The time per training step of DQN in Primer, compared with a hand-written loop of the same algorithm.

Both step ten CartPole environments, store their transitions in a replay buffer, and take a gradient step on 128 of them
with double Q-learning and a linear schedule, for the network of ``experiment=cartpole_dqn``. The two alternate epoch by
epoch, and ratios are computed per pair, so that drifts in machine speed cancel out.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from typing import Any

import lightning as L
import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional as F

from benchmarks.step import Clock
from primer.callbacks import progress
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.records import console
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_data, build_loggers, build_model, build_trainer
from primer.run.training import redirect_library_logs

PAIRS, STEPS, ENVS, SIZE, BATCH = 6, 1000, 10, 10_000, 128


def q_network() -> nn.Sequential:
    """Returns the network of cleanrl's DQN."""
    return nn.Sequential(nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 2))


def hand_written() -> Any:
    """Returns a function that trains for an epoch and returns the seconds per step."""
    import gymnasium

    envs = [gymnasium.make("CartPole-v1", disable_env_checker=True) for _ in range(ENVS)]
    observations = np.stack([env.reset(seed=k)[0] for k, env in enumerate(envs)])
    network, target = q_network(), q_network()
    target.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=2.5e-4, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS * (PAIRS + 1))
    now, following = torch.zeros(2, SIZE, 4)
    actions = torch.zeros(SIZE, dtype=torch.long)
    rewards, terminated = torch.zeros(2, SIZE)
    seen = 0

    def epoch() -> float:
        nonlocal observations, seen
        start = time.perf_counter()
        for _ in range(STEPS):
            inputs = torch.from_numpy(observations)
            with torch.no_grad():
                best = network(inputs).argmax(1)
            chosen = torch.where(torch.rand(ENVS) < 0.1, torch.randint(2, (ENVS,)), best)
            steps = [env.step(action) for env, action in zip(envs, chosen.tolist(), strict=True)]
            row = seen % SIZE
            rows = slice(row, row + ENVS)
            now[rows], actions[rows] = inputs, chosen
            following[rows] = torch.from_numpy(np.stack([step[0] for step in steps]))
            rewards[rows] = torch.tensor([float(step[1]) for step in steps])
            terminated[rows] = torch.tensor([float(step[2]) for step in steps])
            observations = np.stack([
                env.reset()[0] if step[2] or step[3] else step[0] for env, step in zip(envs, steps, strict=True)
            ])  # fmt: skip
            seen += ENVS
            index = torch.randint(min(seen, SIZE), (BATCH,))
            with torch.no_grad():
                after = following[index]
                value = target(after).gather(1, network(after).argmax(1, keepdim=True)).squeeze(1)
                goal = rewards[index] + 0.99 * value * (1 - terminated[index])
            loss = F.mse_loss(network(now[index]).gather(1, actions[index, None]).squeeze(1), goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if seen % 500 == 0:
                target.load_state_dict(network.state_dict())
        return (time.perf_counter() - start) / STEPS

    return epoch


def measure() -> list[tuple[float, float]]:
    """Returns pairs of seconds per step, hand-written and in Primer, without the first pair, which is a warm-up."""
    overrides = [
        "experiment=cartpole_dqn", f"data.num_envs={ENVS}", f"data.steps_per_epoch={STEPS}", "data.eval_episodes=1",
        f"model.buffer_size={SIZE}", f"model.batch_size={BATCH}", "model.learning_starts=0", "model.start_e=0.1",
        f"trainer.max_epochs={PAIRS + 1}", "accelerator=cpu",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = compose_resolved("train", overrides, folder)
        regularization = instantiate(config["regularization"], Regularization)
        data, clock = build_data(config), Clock(hand_written())
        model = build_model(config, data, regularization)
        callbacks: list[L.Callback] = [*build_callbacks(config, model, data, regularization), clock]
        build_trainer(config, model, callbacks, build_loggers(config)).fit(model, datamodule=data)
    return clock.pairs[1:]


def main() -> None:
    torch.set_num_threads(1)
    redirect_library_logs()
    terminal = Console(file=io.StringIO(), force_terminal=True)
    console.console = progress.console = terminal  # Draws the progress bar as on a terminal, and discards it.
    pairs = measure()
    hand, ours = (ENVS / statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    print("dqn: steps of environments per second in training, CartPole, one thread")
    print(
        f"  {hand:,.0f} hand-written, {ours:,.0f} Primer, ratio of times {statistics.median(ratios):.3f} (from "
        f"{min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
