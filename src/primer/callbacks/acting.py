"""Pictures of models that act in an environment or play a bandit, drawn at the end of the test."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.data.environment import Environment
from primer.data.loading.experience import to_tensor
from primer.errors import InputError
from primer.models.base import Model
from primer.models.reinforcement.agent import Agent
from primer.models.reinforcement.bandit import BanditPolicy
from primer.records import run_folder
from primer.reports import acting as drawing
from primer.reports.publish import log_failure, publish
from primer.spec import Arms, FiniteEnvironment
from primer.spec import Environment as EnvironmentSpec

EPISODE_SEED, SIDE = 2_000_000, 60
"""The seed of the episode that is shown, and the number of points on each side of a slice of observations."""

NAMED: dict[tuple[int, ...], tuple[str, ...]] = {(4,): ("position", "velocity", "angle", "angular velocity")}
"""The names of the parts of an observation by its shape."""


class ActingPictures(Callback):
    """Draws what an agent has learned, and logs the pictures to the loggers that support images:

    - ``policy.png``: for states on a grid, the value of each cell, the best action there, and a path of an episode;
    - ``values.png``: for other observations, the value and the best action over two parts of the observation;
    - ``episode.png``: for these, the observations, the actions and the return of an episode;
    - ``frames.png`` and ``episode.gif``: the episode as it is rendered, if the environment can be;
    - ``regret.png``: for bandits, the fraction of pulls of the best arm, and the regret.

    Other models are skipped. An error while drawing prints a warning but never stops the run.

    Args:
        dirpath: the directory of the pictures.
        max_steps: the maximum number of steps of the episode that is shown; 0 for no episode.
        axes: indices of the two parts of the observation of ``values.png``; by default the last two.

    Raises:
        InputError: if the number is negative, or there are not two different indices.
    """

    def __init__(self, dirpath: str | Path, max_steps: int = 500, axes: list[int] | None = None) -> None:
        if max_steps < 0:
            raise InputError(f"callbacks.acting.max_steps must be at least 0, not {max_steps}")
        if axes is not None and (len(set(axes)) != 2 or len(axes) != 2 or min(axes) < 0):
            raise InputError(f"callbacks.acting.axes must be two different indices, not {axes}")
        self.dirpath, self.max_steps, self.axes = Path(dirpath), max_steps, axes

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if isinstance(pl_module, BanditPolicy):
            with log_failure(self.dirpath, "regret"):
                assert isinstance(pl_module.spec.input, Arms)
                figure = drawing.draw_regret(pl_module.history, pl_module.spec.input.arms)
                publish(trainer, self.dirpath, "regret", figure)
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, Agent) or not isinstance(data, Environment):
            return
        episode = None
        if self.max_steps:
            with log_failure(self.dirpath, "episode"):
                episode = play(data, pl_module, self.max_steps)
        kind = pl_module.spec.input
        if isinstance(kind, FiniteEnvironment) and kind.grid:
            with log_failure(self.dirpath, "policy"):
                values = pl_module(torch.arange(kind.states, device=pl_module.device))
                path = [] if episode is None else episode.observations.tolist()
                publish(trainer, self.dirpath, "policy", drawing.draw_policy(values, kind.grid, kind.moves, path))
        if isinstance(kind, EnvironmentSpec) and episode is not None:
            with log_failure(self.dirpath, "episode"):
                publish(trainer, self.dirpath, "episode", drawing.draw_episode(episode, part_names(kind.observation)))
            if np.prod(kind.observation) >= 2:
                with log_failure(self.dirpath, "values"):
                    self._draw_values(trainer, pl_module, episode, part_names(kind.observation))
        if episode is not None and episode.frames:
            with log_failure(self.dirpath, "frames"):
                publish(trainer, self.dirpath, "frames", drawing.draw_frames(episode.frames))
                run_folder.write(self.dirpath / "episode.gif", gif(episode.frames))

    @torch.no_grad()
    def _draw_values(self, trainer: Trainer, model: Agent, episode: drawing.Played, names: list[str]) -> None:
        observed = episode.observations.reshape(len(episode.observations), -1)
        axes = self.axes or [observed.shape[1] - 2, observed.shape[1] - 1]
        if max(axes) >= observed.shape[1]:
            raise InputError(f"callbacks.acting.axes={axes}: an observation has {observed.shape[1]} parts")
        spans = [np.abs(observed[:, axis]).max() or 1.0 for axis in axes]
        x, y = (np.linspace(-span, span, SIDE) for span in spans)
        points = np.tile(observed.mean(0), (SIDE, SIDE, 1))
        points[..., axes[0]], points[..., axes[1]] = x[None, :], y[:, None]
        inputs = to_tensor(points.reshape(SIDE * SIDE, *episode.observations.shape[1:]), model.device)
        values: Tensor = model(inputs).reshape(SIDE, SIDE, -1)
        publish(trainer, self.dirpath, "values", drawing.draw_values(values, x, y, [names[axis] for axis in axes]))


def part_names(shape: tuple[int, ...]) -> list[str]:
    """Returns the names of the parts of an observation."""
    return list(NAMED.get(shape, [f"observation {k}" for k in range(int(np.prod(shape)))]))


def play(data: Environment, model: Agent, max_steps: int) -> drawing.Played:
    """Plays an episode without exploration, and renders it if the environment can be rendered."""
    env: Any = data.make_rendered()
    observation, _ = env.reset(seed=EPISODE_SEED)
    observations, actions, rewards, frames = [observation], [], [], []
    renders = True
    for _ in range(max_steps):
        frame = render(env) if renders else None
        renders = frame is not None
        frames += [frame] if renders else []
        inputs = to_tensor(np.asarray(observation)[None], model.device)
        actions.append(model.act(inputs, explore=False).item())
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        observations.append(observation)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    return drawing.Played(np.asarray(observations), np.asarray(actions), np.asarray(rewards), frames)


def render(env: Any) -> np.ndarray | None:
    """Returns a frame ``(height, width, 3)``; None if the environment cannot be rendered."""
    try:
        frame = env.render()
    except Exception:  # Each environment needs other packages, and raises errors of its own without them.
        return None
    return frame if isinstance(frame, np.ndarray) and frame.ndim == 3 else None


def gif(frames: list[np.ndarray], most: int = 100) -> bytes:
    """Returns the content of a GIF file with at most that many frames."""
    from PIL import Image

    stride = -(-len(frames) // most)
    fast = Image.Quantize.FASTOCTREE  # The default takes four times as long.
    images = [Image.fromarray(frame).quantize(64, fast) for frame in frames[::stride]]
    content = io.BytesIO()
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=40 * stride, loop=0)
    return content.getvalue()
