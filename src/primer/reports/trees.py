"""Draws decision trees, and how much forests use each feature."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from primer.reports.figures import REFERENCE, TEXT, TRAIN, label_axes, new_figure, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FEATURES = 20
"""The maximum number of features shown."""


@dataclass
class Node:
    """A node of a decision tree.

    Attributes:
        condition: what it compares; empty for a leaf.
        answer: what it predicts.
        count: how many training samples reach it.
        color: the number of the color of the answer.
        strength: the opacity of the color, from 0 to 1.
        below: the node to go to if the condition holds, and the one if it does not; empty if they are not drawn.
    """

    condition: str
    answer: str
    count: str
    color: int
    strength: float
    below: list[Node] = field(default_factory=list)


def draw_tree(root: Node) -> Figure:
    """Draws a tree from its root down. Left branches are taken if the condition holds; a node whose branches are not
    drawn ends in dots."""
    width, height = count_leaves(root) * 1.75, count_levels(root) * 1.15
    figure = new_figure(max(4.0, width), height + 0.3, layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    place(axes, root, 0.0, 0)
    axes.set(xlim=(0, count_leaves(root)), ylim=(-count_levels(root) + 0.45, 0.5))
    return figure


def place(axes: Axes, node: Node, left: float, level: int) -> float:
    """Draws a node and what is below it, from the horizontal position ``left`` on. Returns its own position."""
    from matplotlib import colormaps

    centers, start = [], left
    for child in node.below:
        centers.append(place(axes, child, start, level + 1))
        start += count_leaves(child)
    x = sum(centers) / 2 if centers else left + 0.5
    for center in centers:
        axes.plot([x, center], [-level, -level - 1], color=REFERENCE, linewidth=1, zorder=1)
    lines = [short(node.condition, 26)] if node.condition else []
    lines += [short(node.answer, 22), node.count + (" …" if node.condition and not node.below else "")]
    color = colormaps["tab10"](node.color % 10)
    background = tuple(1 - (1 - part) * 0.45 * node.strength for part in color[:3])
    axes.text(
        x, -level, "\n".join(lines), ha="center", va="center", fontsize=8, zorder=2, parse_math=False,
        bbox={"boxstyle": "round", "facecolor": background, "edgecolor": REFERENCE},
    )  # fmt: skip
    return x


def count_leaves(node: Node) -> int:
    """Returns the number of nodes without any node below."""
    return sum(count_leaves(child) for child in node.below) or 1


def count_levels(node: Node) -> int:
    """Returns the number of nodes on the longest path."""
    return 1 + max((count_levels(child) for child in node.below), default=0)


def draw_importances(importances: Float[Tensor, " features"], names: list[str]) -> Figure:
    """Draws how much the splits on each feature lower the impurity, for the features with the largest values."""
    best = importances.cpu().argsort(descending=True)[:MAX_FEATURES].flip(0)
    labels = [short(names[k], 30) for k in best.tolist()]
    figure = new_figure(7.0, 0.28 * len(best) + 1.0, layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(best)), importances.cpu()[best].numpy(), color=TRAIN)
    axes.set_yticks(range(len(best)), labels, fontsize=TEXT - 2, parse_math=False)
    label_axes(axes, "fraction of the decrease of impurity", "")
    return figure
