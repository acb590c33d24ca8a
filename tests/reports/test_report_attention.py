"""Heat maps of attention show the right weights and labels."""

from __future__ import annotations

import torch

from primer.reports.attention import MAX_TOKENS, AttentionMap, draw_attention, draw_heads, draw_positions
from primer.reports.figures import png


def test_map_shows_the_source_along_x_and_the_prediction_along_y() -> None:
    weights = torch.rand(2, 3)
    figure = draw_attention([AttentionMap("a b", ["x", "<end>"], weights), AttentionMap("ab", "y", torch.eye(2)[:1])])
    first, second = figure.axes
    assert torch.equal(torch.from_numpy(first.images[0].get_array().data), weights)  # type: ignore[union-attr]
    assert first.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in first.get_xticklabels()] == ["a", "␣", "b"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["x", "<end>"]
    assert [label.get_text() for label in second.get_yticklabels()] == ["y"]
    assert png(figure).startswith(b"\x89PNG")


def test_maps_do_not_overlap_and_stay_inside_the_figure() -> None:
    sizes = [(3, 40), (20, 2), (1, 1), (90, 80), (5, 5)]
    maps = [AttentionMap(["word"] * across, ["$x$"] * down, torch.rand(down, across)) for down, across in sizes]
    figure = draw_attention(maps)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == len(maps)
    for index, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0
        assert max(box.x1, box.y1) <= 1
        assert not any(box.overlaps(other) for other in boxes[:index])
    assert figure.axes[3].images[0].get_array().shape == (MAX_TOKENS, MAX_TOKENS)  # type: ignore[union-attr]
    assert png(figure)


def test_heads_are_drawn_layer_by_layer_with_masked_cells_in_gray() -> None:
    weights = torch.rand(2, 3, 4, 4).tril()
    figure = draw_heads(weights, "abcd", "a cd")
    assert len(figure.axes) == 6
    assert figure.axes[4].get_title() == "layer 2, head 2"
    shown = figure.axes[4].images[0].get_array()
    assert torch.equal(torch.from_numpy(shown.filled(0)), weights[1, 1])  # type: ignore[union-attr]
    assert shown.mask.tolist() == torch.ones(4, 4).triu(1).bool().tolist()  # type: ignore[union-attr]
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == ["a", "b", "c", "d"]
    assert [label.get_text() for label in figure.axes[3].get_xticklabels()] == ["a", "␣", "c", "d"]
    assert png(figure)


def test_positions_show_their_vectors_and_how_similar_they_are() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    left, right = draw_positions(vectors).axes[:2]
    assert left.images[0].get_array().tolist() == vectors.tolist()  # type: ignore[union-attr]
    assert right.images[0].get_array().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]  # type: ignore[union-attr]
