"""Draws what an agent has learned: its policy on a grid, its values, an episode, and the regret of a bandit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from primer.reports.figures import REFERENCE, TEXT, TRAIN, VALIDATION, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 4
"""The maximum number of grids, if each cell of the grid has several states."""


class Played(NamedTuple):
    """An episode: the observations ``(steps + 1, *observation)``, the actions ``(steps,)``, the rewards ``(steps,)``,
    and the frames of a rendering, if there is one."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    frames: list[np.ndarray]


def draw_policy(
    values: Float[Tensor, "states actions"], grid: tuple[int, ...], moves: Sequence[str], path: Sequence[int] = ()
) -> Figure:
    """Draws the value of each cell of a grid, and the best action there. States where all actions are worth the same,
    such as the end of an episode, have no action. If a cell has several states, up to four of them are drawn: those
    that the path visits.

    Args:
        values: of each action in each state.
        grid: number of rows and columns.
        moves: names of the actions.
        path: the states of an episode, which are connected by a line.
    """
    per_cell = len(values) // (grid[0] * grid[1])
    layers = list(dict.fromkeys(state % per_cell for state in path or range(per_cell)))[:MAX_PANELS]
    table = values.double().cpu().reshape(*grid, per_cell, -1).numpy()
    best = table.max(-1)
    low, high = best[:, :, layers].min(), best[:, :, layers].max()
    columns = min(2, len(layers))
    rows = -(-len(layers) // columns)
    cell = 1.0 if max(grid) <= 5 else 0.75
    width, height = max(4.0, cell * grid[1]), max(1.8, cell * grid[0]) + 0.5
    figure = new_figure(columns * width + 0.6, rows * height + 0.4, layout="constrained")
    for number, layer in enumerate(layers):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(best[:, :, layer], cmap="viridis", vmin=low, vmax=high)
        for row in range(grid[0]):
            for column in range(grid[1]):
                _write_cell(axes, row, column, table[row, column, layer], moves, (low + high) / 2)
        cells = [divmod(state // per_cell, grid[1]) for state in path if state % per_cell == layer]
        axes.plot([c for _, c in cells], [r for r, _ in cells], color=VALIDATION, linewidth=2, alpha=0.8)
        axes.set_xticks([])
        axes.set_yticks([])
        title = "values and best actions" + (f", state {layer} of each cell" if per_cell > 1 else "")
        axes.set_title(title, fontsize=TEXT, parse_math=False)
    return figure


def _write_cell(axes: Axes, row: int, column: int, values: np.ndarray, moves: Sequence[str], middle: float) -> None:
    best = int(values.argmax())
    move = (moves[best] if moves else str(best)) if np.ptp(values) > 1e-9 else ""
    color = "black" if values[best] > middle else "white"
    size = TEXT + 4 if len(move) <= 1 else TEXT - 3
    axes.text(column, row - 0.12, move, ha="center", va="center", color=color, fontsize=size)
    axes.text(column, row + 0.33, f"{values[best]:.3g}", ha="center", va="center", color=color, fontsize=TEXT - 4)


def draw_values(
    values: Float[Tensor, "rows columns actions"], x: np.ndarray, y: np.ndarray, names: list[str]
) -> Figure:
    """Draws the value of the best action, and which one that is, over two parts of the observation.

    Args:
        values: of each action at each point.
        x, y: the two parts, which the columns and the rows belong to.
        names: their names.
    """
    table = values.float().cpu().numpy()
    figure = new_figure(11, 4.4, layout="constrained")
    panels = (("value of the best action", table.max(-1), "viridis"), ("best action", table.argmax(-1), "tab10"))
    for number, (title, shown, colors) in enumerate(panels):
        axes = figure.add_subplot(1, 2, number + 1)
        low, high = (0, 9) if colors == "tab10" else (None, None)
        mesh = axes.pcolormesh(x, y, shown, cmap=colors, shading="auto", vmin=low, vmax=high)
        label_axes(axes, names[0], names[1], title)
        if number == 0:
            figure.colorbar(mesh, ax=axes)
        else:
            for action in np.unique(shown):
                axes.plot([], [], "s", color=f"C{action}", label=f"action {action}")
            axes.legend(fontsize=TEXT - 2, loc="upper right")
    return figure


def draw_episode(episode: Played, names: list[str]) -> Figure:
    """Draws the observations, the actions and the sum of the rewards of an episode over its steps."""
    observed = episode.observations.reshape(len(episode.observations), -1)[:, :8]
    figure = new_figure(9, 7.5, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1))
    for k in range(observed.shape[1]):
        top.plot(observed[:, k], color=f"C{k}", linewidth=1.4, label=names[k])
    label_axes(top, "", "observation", f"an episode without exploration: return {episode.rewards.sum():g}")
    top.legend(fontsize=TEXT - 2, ncols=4)
    middle.step(range(len(episode.actions)), episode.actions, where="post", color=TRAIN, linewidth=1)
    label_axes(middle, "", "action")
    bottom.plot(range(1, len(episode.rewards) + 1), episode.rewards.cumsum(), color=TRAIN)
    label_axes(bottom, "step", "return so far")
    return figure


def draw_frames(frames: Sequence[np.ndarray], count: int = 8) -> Figure:
    """Draws a strip of frames that are spread over an episode."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    ratio = frames[0].shape[0] / frames[0].shape[1]
    figure = new_figure(3.0 * columns, (3.0 * ratio + 0.4) * rows, layout="constrained")
    for number, index in enumerate(chosen.tolist()):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(frames[index])
        axes.set_axis_off()
        axes.set_title(f"step {index}", fontsize=TEXT)
    return figure


def draw_regret(history: Float[Tensor, "steps 2"], arms: int) -> Figure:
    """Draws the fraction of pulls of the best arm, and the sum of the regrets, over the steps of a bandit.

    Args:
        history: the fraction and the regret of each step, as means over all runs.
        arms: the number of arms; pulling them at random is drawn for reference.
    """
    optimal, regret = history.double().cpu().unbind(1)
    steps = np.arange(1, len(history) + 1)
    figure = new_figure(11, 4.4, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, optimal.numpy(), color=TRAIN, linewidth=1.4)
    left.axhline(1 / arms, color=REFERENCE, linestyle="--", linewidth=1.2)
    left.set_ylim(0, 1)
    label_axes(left, "step", "fraction", "pulls of the best arm (dashed: at random)")
    right.plot(steps, regret.cumsum(0).numpy(), color=TRAIN, linewidth=1.4)
    right.plot(steps, regret[0].item() * steps, color=REFERENCE, linestyle="--", linewidth=1.2)
    right.set_ylim(0, max(1e-9, 1.1 * regret.sum().item(), 0.3 * regret[0].item() * len(steps)))
    label_axes(right, "step", "sum of regrets", "regret (dashed: as in the first step)")
    return figure
