"""The adding problem, and the error of a model without memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.series.adding_problem import AddingProblem
from primer.errors import InputError
from primer.spec import Series, Values


def parts(**settings: Any) -> dict[str, Batch]:
    return AddingProblem(**{"length": 10, "samples": 1000, **settings}).prepare().parts  # type: ignore[return-value]


@pytest.mark.parametrize("length", [2, 3, 10, 11])
@pytest.mark.parametrize("marks", ["halves", "anywhere"])
def test_the_target_is_the_sum_of_the_two_marked_numbers(length: int, marks: str) -> None:
    for batch in parts(length=length, marks=marks).values():
        numbers, marked = batch.inputs.unbind(-1)
        assert batch.inputs.shape[1:] == (length, 2)
        assert ((numbers >= 0) & (numbers < 1)).all()
        assert ((marked == 0) | (marked == 1)).all()
        assert (marked.sum(1) == 2).all()
        if marks == "halves":
            assert (marked[:, : length // 2].sum(1) == 1).all()
        assert batch.targets is not None
        torch.testing.assert_close(batch.targets, (numbers * marked).sum(1, keepdim=True))


@pytest.mark.parametrize(("marks", "distance"), [("halves", 100 / 2), ("anywhere", 101 / 3)])
def test_markers_are_uniformly_distributed(marks: str, distance: float) -> None:
    batch = parts(length=100, samples=20_000, marks=marks)["train"]
    marked = batch.inputs[..., 1]
    assert marked.mean(0).min() > 0.014
    assert marked.mean(0).max() < 0.026
    positions = marked.nonzero()[:, 1].view(-1, 2).float()
    assert positions.diff(dim=1).abs().mean().item() == pytest.approx(distance, rel=0.02)


def test_predicting_the_mean_has_the_published_error() -> None:
    batch = parts(samples=100_000)["train"]
    assert batch.targets is not None
    assert (batch.targets - 1).square().mean().item() == pytest.approx(1 / 6, rel=0.01)


def test_parts_differ_and_depend_on_the_split_seed() -> None:
    first, again, other = parts(), parts(), parts(split_seed=1)
    assert {name: batch.size for name, batch in first.items()} == {"train": 1000, "val": 100, "test": 200}
    for name in first:
        assert torch.equal(first[name].inputs, again[name].inputs)
        assert not torch.equal(first[name].inputs, other[name].inputs)
    rows = [tuple(row) for batch in (*first.values(), *other.values()) for row in batch.inputs[..., 0].tolist()]
    assert len(set(rows)) == len(rows)
    fewer = parts(val_fraction=0.0)
    assert fewer["val"].size == 0
    assert torch.equal(fewer["test"].inputs, first["test"].inputs)


def test_the_spec() -> None:
    spec = AddingProblem(length=10, samples=1000).prepare().spec
    assert spec.input == Series(2)
    assert isinstance(spec.target, Values)
    assert spec.target.names == ("sum",)
    assert spec.target.mean[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 1}, "length must be at least 2, not 1"),
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"marks": "ends"}, "marks must be one of anywhere, halves, not 'ends'"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AddingProblem(**settings)
