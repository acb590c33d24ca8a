"""Draws word vectors in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from primer.reports.figures import TEXT, TRAIN, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN, LETTERS = 60, 4
"""The number of words that are drawn by default, and the least number of letters of each, since the most frequent words
are short function words."""


def choose_words(words: Sequence[str]) -> list[str]:
    """Returns the first words, of those in order of their frequency, that are long enough to draw."""
    return [word for word in words if len(word) >= LETTERS and word.isalpha()][:SHOWN] or list(words[:SHOWN])


def draw_word_vectors(words: Sequence[str], vectors: np.ndarray, projection: str = "pca") -> Figure:
    """Draws words at the projections of their vectors onto a plane.

    Args:
        words: the words.
        vectors: ``(words, size)``; scaled to length 1, since directions matter.
        projection: ``pca``, the two directions of the largest variance; or ``tsne``, which keeps neighbors together.
    """
    points = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    if projection == "tsne" and len(words) > 3:
        from sklearn.manifold import TSNE

        points = TSNE(perplexity=min(30.0, (len(words) - 1) / 3), init="pca", random_state=0).fit_transform(points)
    else:
        centered = points - points.mean(0)
        points = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    figure = new_figure(9, 7, layout="constrained")
    axes = figure.add_subplot()
    x, y = points[:, 0], points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
    axes.scatter(x, y, s=12, color=TRAIN)
    for word, left, low in zip(words, x, y, strict=True):
        axes.annotate(word, (left, low), (3, 2), textcoords="offset points", fontsize=TEXT - 2, parse_math=False)
    names = {"pca": "the two principal components of the vectors", "tsne": "t-SNE of the vectors"}
    axes.set_title(names[projection], fontsize=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
