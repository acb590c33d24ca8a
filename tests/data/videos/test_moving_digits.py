"""Videos of moving digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.videos.moving_digits import LARGEST, MOTIONS, SMALLEST, MovingDigits, draw_paths, render
from primer.errors import InputError
from primer.spec import Classes, Video


def build(**settings: Any) -> MovingDigits:
    return MovingDigits(**{"samples": 140, "frames": 6, "side": 20, **settings}).prepare()


def paths(frames: int = 9, videos: int = 7000) -> tuple[Tensor, Tensor, Tensor]:
    motion = torch.arange(videos) % len(MOTIONS)
    return motion, *draw_paths(motion, frames, torch.Generator().manual_seed(0))


def test_parts_and_spec() -> None:
    data = build()
    assert data.spec.input == Video(6, 1, 20, 20, data.spec.input.mean, data.spec.input.std)  # type: ignore[union-attr]
    assert isinstance(data.spec.target, Classes)
    assert data.spec.target.names == MOTIONS
    assert data.sizes() == {"train": 98, "val": 14, "test": 28}
    train = data.parts["train"]
    assert isinstance(train, Batch)
    assert train.inputs.dtype == torch.uint8
    assert train.inputs.shape == (98, 6, 1, 20, 20)
    assert train.targets is not None
    assert train.targets.bincount().tolist() == [14] * 7
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.dtype == torch.float32
    whole = data.whole("train").inputs
    assert whole.mean().item() == pytest.approx(0, abs=1e-4)
    assert whole.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_the_same_seed_draws_the_same_videos() -> None:
    first, same, other = (build(data_seed=seed).parts["test"].inputs for seed in (0, 0, 1))  # type: ignore[union-attr]
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_straight_paths(name: str, axis: int, sign: int) -> None:
    motion, centers, sizes = paths()
    moved = (centers[:, 1:] - centers[:, :-1])[motion == MOTIONS.index(name)]
    assert (sign * moved[..., axis] > 0).all()
    assert (moved[..., 1 - axis] == 0).all()
    assert (sizes.diff(dim=1)[motion == MOTIONS.index(name)] == 0).all()


def test_a_circle_has_a_constant_radius_and_ends_where_it_starts() -> None:
    motion, centers, _ = paths()
    circle = centers[motion == MOTIONS.index("circle")]
    assert torch.allclose(circle[:, 0], circle[:, -1], atol=1e-6)
    radius = (circle[:, :-1] - circle[:, :-1].mean(1, keepdim=True)).norm(dim=2)
    assert radius.std(1).max().item() < 1e-5
    turn = circle[:, 1] - circle[:, 0]
    assert turn.norm(dim=1).min().item() > 0.1


@pytest.mark.parametrize(("name", "sign"), [("growing", 1), ("shrinking", -1)])
def test_sizes_change_in_one_direction_apart_from_one_jump(name: str, sign: int) -> None:
    motion, centers, sizes = paths()
    changes = sign * sizes.diff(dim=1)[motion == MOTIONS.index(name)]
    assert ((changes < 0).sum(1) <= 2).all()
    assert (changes > 0).float().mean() > 0.8
    assert sizes.min() >= SMALLEST
    assert sizes.max() <= LARGEST
    assert (centers.diff(dim=1)[motion == MOTIONS.index(name)] == 0).all()


def test_a_single_frame_has_the_same_distribution_in_every_class() -> None:
    motion, centers, sizes = paths()
    for frame in (0, 4, 8):
        for values in ((centers[:, frame, 0] % 1), (centers[:, frame, 1] % 1), sizes[:, frame]):
            low, high = values.min().item(), values.max().item()
            histograms = [
                np.histogram(values[motion == k].numpy(), bins=5, range=(low, high))[0] for k in range(len(MOTIONS))
            ]
            # Of 1,000 videos of a class, 200 are expected in each bin, with a standard deviation of 12.6.
            assert np.abs(np.array(histograms) - 200).max() < 64


def test_a_digit_is_drawn_around_its_center_and_across_the_edge() -> None:
    centers, sizes = torch.tensor([[[0.5, 0.25], [0.0, 0.5]]]), torch.tensor([[0.25, 0.25]])
    video = render(torch.ones(1, 1, 8, 8), centers, sizes, 16)[0, :, 0].float() / 255
    rows, columns = video[0].sum(1), video[0].sum(0)
    assert rows.nonzero().flatten().tolist() == [2, 3, 4, 5]
    assert columns.nonzero().flatten().tolist() == [6, 7, 8, 9]
    assert video[1].sum(0).nonzero().flatten().tolist() == [0, 1, 14, 15]
    assert math.isclose(video[0].sum().item(), video[1].sum().item(), rel_tol=1e-3)


def test_shuffled_frames_are_those_of_the_same_videos() -> None:
    plain, shuffled = build(), build(shuffle_frames=True)
    first, second = (data.parts["test"].inputs.flatten(2).sum(2) for data in (plain, shuffled))  # type: ignore[union-attr]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(1)[0], second.sort(1)[0])


def test_a_single_frame_is_possible() -> None:
    assert build(frames=1).parts["train"].inputs.shape[1] == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples must be at least 1"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"side": 0}, "side must be at least 1"),
        ({"digits": "letters"}, "digits must be one of sklearn, mnist, not 'letters'"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MovingDigits(**settings)
