"""Features of recordings: independent of the batch, and equal to their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from primer.batch import Batch
from primer.data.audio.features import RANGE, Features, cosine_transform, fft_size, mel_filters
from primer.data.audio.reading import to_samples
from primer.data.audio.recordings import feature_moments, pad
from primer.spec import Waveform

RATE = 8000
KIND = Waveform(RATE, window=256, hop=128, mels=32, longest=80000)
MFCC = Waveform(RATE, window=256, hop=128, mels=32, longest=80000, features="mfcc")


def sounds(*seconds: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [to_samples(torch.randn(round(each * RATE), generator=generator) * 0.1) for each in seconds]


def tone(frequency: float, seconds: float = 0.5) -> torch.Tensor:
    return to_samples(0.5 * (2 * math.pi * frequency * torch.arange(round(seconds * RATE)) / RATE).sin())


@pytest.mark.parametrize("kind", [KIND, MFCC, Waveform(RATE, 200, 80, 20, 80000, centered=True, top_db=50.0)])
@pytest.mark.parametrize("frames", [None, 16, 100])
def test_features_do_not_depend_on_the_batch(kind: Waveform, frames: int | None) -> None:
    recordings = sounds(0.31, 0.5, 0.77)
    features = Features(kind, frames)
    together = features(pad(recordings))
    for k, one in enumerate(recordings):
        alone = features(pad([one]))
        if frames is None:
            assert together.lengths is not None
            assert together.lengths[k] == 1 + len(one) // kind.hop
            assert not together.inputs[k, together.lengths[k] :].any()
        shown = together.inputs[k, : alone.inputs.shape[1]] if frames is None else together.inputs[k]
        assert torch.allclose(shown, alone.inputs[0], atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_have_single_precision_whatever_that_of_the_model(dtype: torch.dtype) -> None:
    batch = pad([tone(500), *sounds(0.3)])
    expected = Features(KIND)(batch).inputs
    with torch.autocast("cpu", dtype):
        assert torch.equal(Features(KIND)(batch).inputs, expected)


def test_moments_are_those_of_all_windows_without_padding() -> None:
    recordings = sounds(0.3, 0.9)
    mean, std = feature_moments(recordings, KIND)
    rows = torch.cat([Features(KIND).compute(one[None], torch.tensor([len(one)]))[0][0] for one in recordings]).double()
    assert torch.allclose(torch.tensor(mean, dtype=torch.float64), rows.mean(0), atol=1e-5)
    assert torch.allclose(torch.tensor(std, dtype=torch.float64), rows.std(0, correction=0), rtol=1e-4)


@pytest.mark.parametrize("frequency", [300, 1000, 3000])
def test_a_tone_is_loudest_in_its_band(frequency: int) -> None:
    features = Features(KIND).compute(tone(frequency)[None], torch.tensor([4000]))[0][0]
    filters = mel_filters(RATE, fft_size(KIND), 32)
    band = filters[round(frequency * fft_size(KIND) / RATE)].argmax()
    assert (features[5:-5].argmax(1) == band).all()


@pytest.mark.parametrize("mels", [20, 32, 64, 128])
def test_every_band_has_a_bin(mels: int) -> None:
    kind = Waveform(RATE, 256, 128, mels, 80000)
    filters = mel_filters(RATE, fft_size(kind), mels)
    assert (filters.sum(0) > 0).all()
    assert filters.max() <= 1


def test_loudness_does_not_matter_relative_to_the_loudest() -> None:
    kind = Waveform(RATE, 256, 128, 32, 80000, top_db=30.0)
    (recording,) = sounds(0.5)
    both = pad([recording, recording // 4])
    features, _ = Features(kind).compute(both.inputs, both.lengths)  # type: ignore[arg-type]
    assert features.max() == 0
    assert math.isclose(features.min().item(), -3 * math.log(10), rel_tol=1e-4) or features.min() > -3 * math.log(10)
    assert torch.allclose(features[0], features[1], atol=0.05)
    padded = Features(kind).compute(tone(1000)[None], torch.tensor([4000]))[0]
    assert math.isclose(padded.min().item(), -3 * math.log(10), rel_tol=1e-4)


def test_cosine_transform_is_orthonormal() -> None:
    assert torch.allclose(cosine_transform(32, 32).T @ cosine_transform(32, 32), torch.eye(32), atol=1e-5)


def test_an_image_is_the_middle_of_a_recording_upside_down() -> None:
    batch = pad(sounds(0.8))
    series, image = Features(KIND)(batch).inputs[0], Features(KIND, 16)(batch).inputs[0, 0]
    first = (len(series) - 16) // 2
    middle = (series[first : first + 16] / RANGE + 0.5).clamp(0, 1)
    assert torch.equal(image, middle.T.flip(0))


def test_a_short_recording_is_padded_on_both_sides() -> None:
    image = Features(KIND, 20)(pad([tone(1000, 8 * 128 / RATE)])).inputs[0, 0]
    assert (image[:, :6] == 0.5).all()
    assert (image[:, 6:15] != 0.5).any(0).all()
    assert (image[:, 15:] == 0.5).all()


def test_augmented_samples_have_the_same_features() -> None:
    batch = pad(sounds(0.4))
    floats = Batch(batch.inputs.float() / 32768, None, batch.lengths)
    assert torch.equal(Features(KIND)(batch).inputs, Features(KIND)(floats).inputs)
