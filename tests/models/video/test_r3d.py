"""Residual networks with 3-D convolutions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from lightning import seed_everything

from primer.errors import InputError
from primer.models.video.r3d import R3D
from primer.spec import Classes, Spec, Values, Video

SPEC = Spec(Video(6, 1, 12, 12), Classes(("a", "b", "c")))


def test_parameter_count_and_outputs_of_r3d_18_equal_torchvisions() -> None:
    spec = Spec(Video(4, 3, 24, 24), Classes(tuple(map(str, range(400)))))
    ours = R3D(spec, layers=[2, 2, 2, 2], width=64, stem="published").eval()
    theirs = torchvision.models.video.r3d_18().eval()
    assert sum(p.numel() for p in ours.parameters()) == 33_371_472
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    assert all(mine.shape == other.shape for mine, other in pairs)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    videos = torch.randn(1, 4, 3, 24, 24)
    torch.testing.assert_close(ours(videos), theirs(videos.transpose(1, 2)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 6])
def test_output_shapes(frames: int) -> None:
    for target, outputs in ((SPEC.target, 3), (Values(("x", "y")), 2)):
        model = R3D(Spec(Video(frames, 1, 12, 12), target), width=4)
        assert model(torch.randn(2, frames, 1, 12, 12)).shape == (2, outputs)


def test_each_stage_but_the_first_halves_time_and_space() -> None:
    model = R3D(SPEC, layers=[1, 2, 1], width=4)
    maps = model.stages(torch.randn(1, 4, 6, 12, 12))
    assert maps.shape == (1, 16, 2, 3, 3)


def test_overfits_one_batch_that_differs_in_the_order_of_frames_alone() -> None:
    seed_everything(0, verbose=False)
    frames = torch.randn(8, 6, 1, 12, 12)
    videos, targets = torch.cat([frames, frames.flip(1)]), torch.arange(16) // 8
    model = R3D(SPEC, layers=[1, 1], width=8).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(videos), targets).backward()
        optimizer.step()
    assert (model(videos).argmax(1) == targets).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": []}, "layers must give the number of blocks"),
        ({"layers": [1, 0]}, r"layers\[1\] must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        R3D(SPEC, **settings)
