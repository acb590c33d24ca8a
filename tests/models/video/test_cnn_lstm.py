"""A convolutional network over frames and an LSTM over time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import seed_everything

from primer.errors import InputError
from primer.models.video.cnn_lstm import CNNLSTM
from primer.spec import Classes, Spec, Values, Video

SPEC = Spec(Video(5, 1, 12, 10), Classes(("a", "b", "c")))
SMALL: dict[str, Any] = {"channels": [4, 8], "frame_size": 16, "hidden_size": 8}


@pytest.mark.parametrize("sides", [(3, 3), (12, 10), (70, 33)])
def test_output_shapes(sides: tuple[int, int]) -> None:
    model = CNNLSTM(Spec(Video(5, 3, *sides), Classes(("a", "b", "c"))), **SMALL)
    assert model(torch.randn(2, 5, 3, *sides)).shape == (2, 3)
    assert CNNLSTM(Spec(Video(5, 3, *sides), Values(("x",))), **SMALL)(torch.randn(2, 5, 3, *sides)).shape == (2, 1)


@pytest.mark.parametrize("differences", [True, False])
def test_each_frame_is_read_by_the_same_network(differences: bool) -> None:
    model = CNNLSTM(SPEC, **SMALL, differences=differences).eval()
    videos = torch.randn(2, 5, 1, 12, 10)
    inputs = videos
    if differences:
        change = torch.cat([torch.zeros(2, 1, 1, 12, 10), videos[:, 1:] - videos[:, :-1]], 1)
        inputs = torch.cat([videos, change], 2)
    features = [model.frame(model.convolutions(frame).flatten(1)).relu() for frame in inputs.unbind(1)]
    states, _ = model.lstm(torch.stack(features, 1))
    torch.testing.assert_close(model(videos), model.head(states[:, -1]))


def test_the_order_of_frames_matters() -> None:
    model = CNNLSTM(SPEC, **SMALL).eval()
    videos = torch.randn(2, 5, 1, 12, 10)
    assert (model(videos) - model(videos.flip(1))).abs().max() > 1e-5


def test_overfits_one_batch_that_differs_in_the_order_of_frames_alone() -> None:
    seed_everything(0, verbose=False)
    frames = torch.randn(8, 5, 1, 12, 10)
    videos, targets = torch.cat([frames, frames.flip(1)]), torch.arange(16) // 8
    model = CNNLSTM(SPEC, **SMALL).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(videos), targets).backward()
        optimizer.step()
    assert (model(videos).argmax(1) == targets).all()


def test_dropout_applies_in_training_only() -> None:
    model, videos = CNNLSTM(SPEC, **SMALL, normalization="none", dropout=0.5), torch.randn(2, 5, 1, 12, 10)
    assert not torch.equal(model.train()(videos), model(videos))
    assert torch.equal(model.eval()(videos), model(videos))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": []}, "channels must have an entry"),
        ({"channels": [4, 0]}, r"channels\[1\] must be at least 1"),
        ({"frame_size": 0}, "frame_size must be at least 1"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"num_layers": 0}, "num_layers must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CNNLSTM(SPEC, **settings)
