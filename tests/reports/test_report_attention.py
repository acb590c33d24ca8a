"""Heat maps of attention show the right weights and labels."""

from __future__ import annotations

import torch

from primer.reports.attention import MAX_TOKENS, AttentionMap, draw_attention
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
