"""Generated sounds, and the two views of recordings."""

from __future__ import annotations

import pytest
import torch

from primer.data.audio.tones import NAMES, Tones
from primer.errors import InputError
from primer.models.convolutional.lenet import LeNet
from primer.models.recurrent.gru import GRU
from primer.spec import Image, Series


def test_sounds_depend_on_the_data_seed_alone() -> None:
    first, second, other = (Tones(60, data_seed=seed).prepare().parts["train"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs, second.inputs)  # type: ignore[union-attr]
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)  # type: ignore[union-attr]


def test_classes_are_equally_frequent_in_each_part() -> None:
    data = Tones(120).prepare()
    assert data.sizes() == {"train": 84, "val": 12, "test": 24}  # type: ignore[comparison-overlap]
    for batch in data.parts.values():
        counts = torch.bincount(batch.targets)  # type: ignore[union-attr, arg-type]
        assert len(counts) == len(NAMES)
        assert counts.max() - counts.min() <= 1


def test_features_are_standardized_on_the_training_part() -> None:
    data = Tones(120).prepare()
    batch = data.whole("train")
    assert batch.lengths is not None
    rows = batch.inputs[torch.arange(batch.inputs.shape[1]) < batch.lengths[:, None]].double()
    assert torch.allclose(rows.mean(0), torch.zeros(32, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(rows.std(0), torch.ones(32, dtype=torch.float64), atol=1e-2)
    test = data.whole("test")
    assert test.lengths is not None
    rows = test.inputs[torch.arange(test.inputs.shape[1]) < test.lengths[:, None]]
    assert rows.mean(0).abs().max() > 0.01


def test_a_model_chooses_the_view() -> None:
    data = Tones(60, frames=24).prepare()
    assert data.whole("test").inputs.ndim == 3
    data.choose_input(LeNet.inputs)
    assert data.spec.input == Image(1, 32, 24, (0.5,), (0.125,), maximum=1.0, recording=data.waveform)
    batch = data.whole("test")
    assert batch.inputs.shape[1:] == (1, 32, 24)
    assert batch.lengths is None
    data.choose_input(GRU.inputs)  # It reads images too.
    assert data.spec.input == Series(32, padded=True, recording=data.waveform)
    assert data.whole("test").inputs.shape[2] == 32


def test_a_view_that_was_set_stays() -> None:
    data = Tones(60, view="image").prepare()
    data.choose_input(GRU.inputs)
    assert isinstance(data.spec.input, Image)
    data = Tones(60, view="series").prepare()
    with pytest.raises(InputError, match="is nothing that this model reads"):
        data.choose_input(LeNet.inputs)


def test_images_take_the_format_of_pretrained_weights() -> None:
    data = Tones(60, view="image").prepare()
    data.set_image_format(Image(3, 64, 64, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)))
    assert data.whole("test").inputs.shape[1:] == (3, 64, 64)
    assert isinstance(data.spec.input, Image)
    assert data.spec.input.recording == data.waveform


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 5}, "samples must be at least 6, one of each class, not 5"),
        ({"noise": -1.0}, "noise must be at least 0"),
        ({"view": "sound"}, "view must be one of auto, series, image, not 'sound'"),
        ({"top_db": 0.0}, "top_db must be greater than 0, not 0.0"),
    ],
)
def test_mistakes(settings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tones(**settings)
