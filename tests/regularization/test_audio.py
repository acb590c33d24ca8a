"""Augmentation of recordings: each sample has its own parameters, and padding stays zero."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.augmentation import assert_uniform, seeded

from primer.batch import Batch
from primer.cli.checks import check_command
from primer.data.audio.features import Features, input_of
from primer.data.audio.tones import Tones
from primer.errors import InputError
from primer.regularization import (
    Augmentation,
    BackgroundNoise,
    ColorJitter,
    Flip,
    Noise,
    Rotate,
    Shift,
    SpecAugment,
    Speed,
    TimeShift,
)
from primer.spec import Classes, Image, Spec, Waveform

KIND = Waveform(8000, window=256, hop=80, mels=20, longest=80000)
SERIES, IMAGE = (Spec(input_of(KIND, frames), Classes(("a", "b"))) for frames in (None, 40))


def waves(size: int, shortest: int = 2000, longest: int = 4000) -> Batch:
    lengths = torch.linspace(shortest, longest, size).long()
    time = torch.arange(longest) / 8000
    samples = (9000 * (2 * math.pi * 500 * time).sin()).to(torch.int16).expand(size, -1)
    return Batch(samples * (torch.arange(longest) < lengths[:, None]), torch.arange(size), lengths)


def augmented(step: Augmentation, batch: Batch, spec: Spec, seed: int = 0) -> Batch:
    before = batch.inputs.clone()
    result = step(batch, seeded(seed), spec)
    assert torch.equal(batch.inputs, before)
    assert result.targets is batch.targets
    return result


def spectrograms(size: int, spec: Spec) -> Batch:
    return Features(KIND, 40 if isinstance(spec.input, Image) else None)(waves(size))


def test_steps_of_a_batch_draw_independently() -> None:
    batch = waves(400, 4000)
    result = augmented(Speed((0.8, 1.25)), batch, SERIES)
    assert result.lengths is not None
    draws = torch.stack([(4000 / result.lengths).log(), torch.rand(400, generator=seeded(0))])
    doubles = torch.rand(400, generator=seeded(0), dtype=torch.float64).float()
    assert torch.corrcoef(torch.stack([*draws, doubles]))[0, 1:].abs().max() < 0.2


def test_speed_changes_length_and_pitch() -> None:
    batch = waves(400, 4000)
    result = augmented(Speed((0.8, 1.25)), batch, SERIES)
    assert result.lengths is not None
    factors = 4000 / result.lengths
    assert_uniform(factors.log(), math.log(0.8), math.log(1.25) + 1e-3)
    for row, length, factor in zip(
        result.inputs[:20], result.lengths[:20].tolist(), factors[:20].tolist(), strict=True
    ):
        assert not row[length:].any()
        spectrum = torch.fft.rfft(row[:length] * torch.hann_window(length), n=8000).abs()
        assert abs(int(spectrum.argmax()) - 500 * factor) < 4


def test_speed_of_one_changes_nothing() -> None:
    batch = waves(5)
    result = augmented(Speed((1.0, 1.0)), batch, SERIES)
    assert torch.equal(result.lengths, batch.lengths)  # type: ignore[arg-type]
    assert torch.allclose(result.inputs, batch.inputs / 32768)


def test_noise_has_the_ratio_that_was_drawn() -> None:
    batch = waves(500)
    assert batch.lengths is not None
    clean, result = batch.inputs / 32768, augmented(BackgroundNoise((5, 30)), batch, SERIES)
    noise = result.inputs - clean
    snr = 10 * (clean.square().sum(1) / noise.square().sum(1)).log10()
    assert_uniform(snr.clamp(5, 30), 5, 30)
    assert not noise[torch.arange(4000) >= batch.lengths[:, None]].any()
    some = augmented(BackgroundNoise((5, 30), probability=0.3), batch, SERIES).inputs
    assert 0.2 < (some != clean).any(1).float().mean() < 0.4


@pytest.mark.parametrize("spec", [SERIES, IMAGE])
def test_time_shift_moves_whole_spectrograms(spec: Spec) -> None:
    batch = spectrograms(200, spec)
    result = augmented(TimeShift(0.05), batch, spec)
    shifts = []
    for before, after in zip(batch.inputs, result.inputs, strict=True):
        before, after = (x[0].T if isinstance(spec.input, Image) else x for x in (before, after))
        rolled = {k: before.roll(k, 0) for k in range(-5, 6)}
        shifts += [k for k, moved in rolled.items() if torch.equal(after[10:20], moved[10:20])]
    assert set(shifts) == set(range(-5, 6))
    assert len(shifts) == len(batch.inputs)


@pytest.mark.parametrize("spec", [SERIES, IMAGE])
def test_masks_hide_bands_and_spans(spec: Spec) -> None:
    batch, fill = spectrograms(300, spec), 0.5 if isinstance(spec.input, Image) else 0.0
    step = SpecAugment(bands=1, band=0.5, spans=0)
    changed = augmented(step, batch, spec).inputs != batch.inputs
    rows = changed[:, 0].any(2) if isinstance(spec.input, Image) else changed.any(1)
    assert 0 <= rows.sum(1).min() < rows.sum(1).max() <= 10
    assert abs(rows.sum(1).float().mean() - 5) < 1
    step = SpecAugment(bands=0, spans=2, span=0.3)
    result = augmented(step, batch, spec).inputs
    hidden = (result != batch.inputs).flatten(1)
    assert (result.flatten(1)[hidden] == fill).all()
    assert hidden.any(1).float().mean() > 0.9
    assert torch.equal(augmented(SpecAugment(0, spans=0), batch, spec).inputs, batch.inputs)


def test_spans_lie_within_short_recordings() -> None:
    batch = spectrograms(300, SERIES)
    assert batch.lengths is not None
    result = augmented(SpecAugment(bands=0, spans=1, span=1.0), batch, SERIES)
    hidden = (result.inputs != batch.inputs).any(2).sum(1)
    assert_uniform(hidden / batch.lengths + (torch.rand(300, generator=seeded()) - 0.5) / batch.lengths, -0.02, 1.02)


def test_training_batches_are_augmented_and_others_are_not() -> None:
    plain, augmented = (
        Tones(60, view="image", batch_size=20, augmentation=steps).prepare()
        for steps in ([], [Speed(), BackgroundNoise(), TimeShift(), SpecAugment()])
    )
    for part, equal in (("train", False), ("val", True)):
        batches = [next(iter(data.loader(part, train=part == "train"))) for data in (plain, augmented)]  # type: ignore[arg-type]
        assert torch.equal(batches[0].targets, batches[1].targets)  # type: ignore[arg-type]
        assert torch.equal(batches[0].inputs, batches[1].inputs) == equal


def test_noise_on_features_needs_series() -> None:
    data = Tones(60, view="image", augmentation=Noise()).prepare()
    with pytest.raises(InputError, match="the augmentation Noise does not apply to inputs of type Image"):
        data.train_dataloader()


def test_pictures_cannot_be_augmented_like_recordings() -> None:
    with pytest.raises(InputError, match="speed expects inputs of type Waveform, but digits has Image"):
        check_command("train", ["regularization/augmentation=speed"])


@pytest.mark.parametrize("step", [Flip(), Rotate(), ColorJitter(), Shift()])
def test_recordings_are_not_augmented_like_pictures(step: Augmentation) -> None:
    with pytest.raises(InputError, match="is for pictures, not for the spectrograms of recordings"):
        Tones(60, augmentation=step)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Speed((1.2, 0.8)), "Speed: factor must be two ascending numbers"),
        (lambda: BackgroundNoise((30, 10)), "snr must be two ascending numbers"),
        (lambda: BackgroundNoise(probability=2), "probability must be from 0 to 1"),
        (lambda: TimeShift(-1), "seconds must be from 0 to 60"),
        (lambda: SpecAugment(bands=-1), "bands must be at least 0"),
        (lambda: SpecAugment(span=1.5), "span must be from 0 to 1"),
    ],
)
def test_mistakes(build, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()
