"""Draws what classical algorithms have learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float, Int
from torch import Tensor

from primer.reports.figures import REFERENCE, TRAIN, VALIDATION, add_legend, label_axes, new_figure
from primer.reports.images import draw_captioned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LEGEND, MAX_COMPONENTS = 12, 32
"""The maximum number of clusters in a legend, and of components shown as images."""


def draw_clusters(
    points: Float[Tensor, "samples 2"],
    clusters: Int[Tensor, " samples"],
    names: Sequence[str],
    centers: Float[Tensor, "clusters 2"] | None = None,
    labels: tuple[str, str] = ("first component", "second component"),
) -> Figure:
    """Draws samples in a plane in the color of their cluster, and the centers of the clusters."""
    from matplotlib import colormaps

    figure = new_figure(6.8, 5.8, layout="constrained")
    axes = figure.add_subplot()
    points, clusters = points.cpu(), clusters.cpu()
    present = clusters.unique().tolist()
    for k in present:
        some = points[clusters == k].numpy()
        is_noise = names[k] == "noise"
        axes.scatter(
            some[:, 0], some[:, 1], s=16, color=REFERENCE if is_noise else colormaps["tab20"](k % 20),
            marker="x" if is_noise else "o", linewidths=0.8 if is_noise else 0,
            label=names[k] if len(present) <= MAX_LEGEND else None,
        )  # fmt: skip
    if centers is not None:
        middle = centers.cpu().numpy()
        axes.scatter(middle[:, 0], middle[:, 1], s=90, color="black", marker="+", linewidths=1.8, label="center")
    label_axes(axes, *labels)
    add_legend(axes, columns=4)
    return figure


def draw_elbow(inertias: Float[Tensor, " counts"], chosen: int) -> Figure:
    """Draws the inertia per sample over the number of clusters, from 1."""
    figure = new_figure(6.4, 4.4, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(inertias) + 1), inertias.cpu().numpy(), marker="o", color=TRAIN, label="training samples")
    axes.axvline(chosen, color=REFERENCE, linestyle="--", linewidth=1.2, label=f"model.clusters={chosen}")
    label_axes(axes, "clusters", "inertia per sample")
    add_legend(axes)
    return figure


def draw_scree(variances: Float[Tensor, " components"], chosen: int) -> Figure:
    """Draws the fraction of the variance that each principal component explains, and their sum."""
    figure = new_figure(6.4, 4.4, layout="constrained")
    axes = figure.add_subplot()
    fractions = (variances / variances.sum().clamp(min=1e-30)).cpu()
    numbers = range(1, len(fractions) + 1)
    axes.bar(numbers, fractions.numpy(), color=TRAIN, label="each component")
    axes.plot(numbers, fractions.cumsum(0).numpy(), color=VALIDATION, marker=".", label="sum")
    axes.axvline(chosen + 0.5, color=REFERENCE, linestyle="--", linewidth=1.2, label=f"model.components={chosen}")
    label_axes(axes, "component", "fraction of the variance")
    axes.set(ylim=(0, 1.02))
    add_legend(axes, columns=3)
    return figure


def draw_components(components: Float[Tensor, "components channels height width"]) -> Figure:
    """Draws directions in the space of images, each on its own scale: gray is zero."""
    shown = components[:MAX_COMPONENTS].float().cpu()
    scaled = (1 + shown / shown.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)) / 2
    return draw_captioned(scaled, [f"component {k + 1}" for k in range(len(shown))], "principal components")


def draw_k_distances(distances: Float[Tensor, " samples"], neighbors: int, eps: float) -> Figure:
    """Draws the distance of each sample to its k-th nearest, in descending order: a good radius is at the bend."""
    figure = new_figure(6.4, 4.4, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(distances) + 1), distances.cpu().numpy(), color=TRAIN, label="training samples")
    axes.axhline(eps, color=REFERENCE, linestyle="--", linewidth=1.2, label=f"model.eps={eps:g}")
    label_axes(axes, "samples, in descending order", f"distance that {neighbors} samples are within")
    add_legend(axes)
    return figure


def draw_u_matrix(heights: Float[Tensor, "rows columns"]) -> Figure:
    """Draws the mean distance of each unit of a self-organizing map to its neighbors: dark valleys are clusters, and
    bright ridges are between them."""
    rows, columns = heights.shape
    figure = new_figure(6.4, 5.6, layout="constrained")
    axes = figure.add_subplot()
    extent = (0.5, columns + 0.5, rows + 0.5, 0.5)
    image = axes.imshow(heights.cpu().numpy(), cmap="viridis", interpolation="nearest", extent=extent)
    figure.colorbar(image).set_label("mean distance to neighboring units")
    label_axes(axes, "column", "row")
    axes.grid(False)
    return figure
