"""Environments of gymnasium."""

from __future__ import annotations

from typing import Any

import numpy as np

from primer.data.environment import Environment
from primer.data.loading.experience import Env
from primer.errors import InputError, closest
from primer.spec import Environment as EnvironmentSpec
from primer.spec import FiniteEnvironment


class Gymnasium(Environment):
    """Any environment of gymnasium with discrete actions, whose observations are arrays or states (Towers et al. 2024).

    Args:
        id: its name, such as ``MountainCar-v0``.
        options: further arguments of ``gymnasium.make``, such as ``{is_slippery: false}``.
        max_episode_steps: the number of steps after which an episode is truncated; by default that of the environment,
            if it has one.
        settings: those of ``Environment``.

    Raises:
        InputError: if the number is less than 1, gymnasium is not installed, it does not have the environment or the
            options, or episodes have no limit of steps.
    """

    inputs = EnvironmentSpec | FiniteEnvironment

    def __init__(
        self,
        *,
        id: str,
        options: dict[str, Any] | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if max_episode_steps is not None and max_episode_steps < 1:
            raise InputError(f"max_episode_steps must be at least 1, not {max_episode_steps}")
        self.id, self.options, self.max_episode_steps = id, dict(options or {}), max_episode_steps

    def make(self) -> Env:
        env = self._make()
        if getattr(getattr(env, "spec", None), "max_episode_steps", None) is None:
            raise InputError(
                f"{self.id} has no limit of steps, so that an episode may never end: set data.max_episode_steps=500"
            )
        return env

    def make_rendered(self) -> Env:
        modes = getattr(getattr(self.make(), "unwrapped", None), "metadata", {}).get("render_modes", ())
        return self._make(render_mode="rgb_array") if "rgb_array" in modes else self.make()

    def _make(self, **more: Any) -> Env:
        try:
            import gymnasium
        except ImportError:
            raise InputError("data=gymnasium and others need gymnasium: pip install 'primer[rl]'") from None
        # The checker compares each step with the spaces, which takes longer than the step itself.
        settings = {"disable_env_checker": True, "max_episode_steps": self.max_episode_steps} | self.options | more
        try:
            return gymnasium.make(self.id, **settings)  # type: ignore[return-value]
        except gymnasium.error.UnregisteredEnv as error:
            near = closest(self.id, sorted(gymnasium.registry))
            hint = f"; did you mean {near}?" if near else ""
            raise InputError(f"data.id={self.id}: gymnasium does not have it{hint}") from error
        except (gymnasium.error.Error, ImportError, TypeError) as error:
            raise InputError(f"data.id={self.id}: {_first_line(error)}") from error
        except (KeyError, ValueError, AssertionError) as error:
            raise InputError(f"data.options: {self.id} rejects {self.options}: {_first_line(error)}") from error


class ClassicControl(Gymnasium):
    """An environment with observations that are arrays, such as CartPole (Barto, Sutton and Anderson 1983)."""

    inputs = EnvironmentSpec


class ToyText(Gymnasium):
    """An environment with few states, which are cells of a grid: FrozenLake, CliffWalking, Taxi (Dietterich 2000)."""

    inputs = FiniteEnvironment

    def describe(self, env: Env) -> EnvironmentSpec | FiniteEnvironment:
        kind = super().describe(env)
        assert isinstance(kind, FiniteEnvironment)
        inner: Any = getattr(env, "unwrapped", env)
        shape = np.shape(inner.desc) if hasattr(inner, "desc") else getattr(inner, "shape", ())
        name = self.id.split("-")[0].removesuffix("8x8")
        shape = (5, 5) if name == "Taxi" else tuple(int(side) for side in shape)  # Without the walls of its drawing.
        return FiniteEnvironment(kind.states, kind.actions, MOVES.get(name, ()), shape)


MOVES = {
    "FrozenLake": ("←", "↓", "→", "↑"),
    "CliffWalking": ("↑", "→", "↓", "←"),
    "Taxi": ("↓", "↑", "→", "←", "pick up", "drop off"),
}
"""Names of the actions of environments on a grid."""


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
