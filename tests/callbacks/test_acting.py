"""Pictures of agents."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from primer.callbacks import ActingPictures
from primer.callbacks.acting import EPISODE_SEED, gif, part_names, play
from primer.data.environment import Environment
from primer.data.environments.gymnasium import ToyText
from primer.errors import InputError
from primer.models.reinforcement.policy_iteration import PolicyIteration
from primer.models.reinforcement.q_learning import QLearning
from primer.reports.acting import draw_frames, draw_policy, draw_regret, draw_values
from primer.spec import FiniteEnvironment, NoTarget, Spec


class Corridor:
    """Five cells in a row; the right end terminates the episode. It is rendered as a row of pixels."""

    observation_space = SimpleNamespace(n=5, shape=())
    action_space = SimpleNamespace(n=2)
    cell = 0

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.seed, self.cell = seed, 0
        return 0, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.cell = max(0, self.cell + (1 if action else -1))
        return self.cell, -1.0, self.cell == 4, False, {}

    def render(self) -> np.ndarray:
        frame = np.zeros((1, 5, 3), dtype=np.uint8)
        frame[0, self.cell] = 255
        return frame


class Walk(Environment):
    def make(self) -> Any:
        return Corridor()


def walker() -> tuple[Walk, QLearning]:
    data = Walk().prepare()
    model = QLearning(data.spec)
    model.values[:, 1] = 1.0
    return data, model


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_an_episode_is_played_and_rendered() -> None:
    data, model = walker()
    episode = play(data, model, 10)
    assert episode.observations.tolist() == [0, 1, 2, 3, 4]
    assert episode.actions.tolist() == [1, 1, 1, 1]
    assert episode.rewards.sum() == -4
    assert [int(frame[0, :, 0].argmax()) for frame in episode.frames] == [0, 1, 2, 3]
    assert len(play(data, model, 2).actions) == 2
    picture = PIL.Image.open(io.BytesIO(gif(episode.frames)))
    assert (picture.n_frames, picture.size) == (4, (5, 1))  # type: ignore[attr-defined]
    assert EPISODE_SEED >= 0


def test_a_policy_is_drawn_with_its_best_actions() -> None:
    pytest.importorskip("gymnasium")
    data = ToyText(id="CliffWalking-v1", max_episode_steps=100).prepare()
    model = PolicyIteration(data.spec)
    model.fit(data.whole())
    kind = data.spec.input
    assert isinstance(kind, FiniteEnvironment)
    drawn = texts(draw_policy(model.values, kind.grid, kind.moves, [36, 24]))
    moves = np.array(drawn[::2]).reshape(4, 12)
    assert moves[3, 0] == "↑"
    assert set(moves[2, :11]) == {"→"}
    assert moves[2, 11] == "↓"
    assert float(drawn[1::2][36]) == pytest.approx(model.start_value.item(), abs=0.1)


def test_several_states_of_a_cell_are_drawn_apart() -> None:
    values = torch.zeros(12, 2)
    values[7, 1] = 3.0  # The second state of the third cell.
    figure = draw_policy(values, (2, 2), ("a", "b"), [7])
    assert len(figure.axes) == 1  # Only the state that the path visits.
    assert texts(figure)[::2] == ["", "", "b", ""]
    assert len(draw_policy(values, (2, 2), ("a", "b")).axes) == 3


def test_values_and_regret_are_drawn() -> None:
    side = np.linspace(-1, 1, 5)
    values = torch.zeros(5, 5, 2)
    values[:, 3:, 1] = 1.0
    figure = draw_values(values, side, side, ["angle", "velocity"])
    best = next(axes for axes in figure.axes if axes.get_title() == "best action")
    assert np.array_equal(np.asarray(best.collections[0].get_array()).reshape(5, 5), values.argmax(-1).numpy())
    history = torch.tensor([[0.1, 2.0], [0.5, 1.0]])
    left, right = draw_regret(history, 10).axes
    assert np.allclose(left.lines[0].get_ydata(), [0.1, 0.5])
    assert np.allclose(right.lines[0].get_ydata(), [2.0, 3.0])
    assert len(draw_frames([np.zeros((4, 6, 3), dtype=np.uint8)] * 20, count=5).axes) == 5
    assert part_names((4,))[2] == "angle"


@pytest.mark.parametrize("settings", [{"max_steps": -1}, {"axes": [1]}, {"axes": [1, 1]}])
def test_a_setting_out_of_range_is_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"callbacks\.acting"):
        ActingPictures("unused", **settings)


def test_the_pictures_of_a_test(quiet_trainer, tmp_path: Path) -> None:
    data, model = walker()
    quiet_trainer(callbacks=[ActingPictures(tmp_path / "pictures")]).test(model, datamodule=data, verbose=False)
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == {"frames.png", "episode.gif"}  # Not a grid.
    assert Spec(FiniteEnvironment(5, 2), NoTarget()) == data.spec
