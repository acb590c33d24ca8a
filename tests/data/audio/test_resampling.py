"""Resampling keeps what both rates can represent, and removes the rest."""

from __future__ import annotations

import math

import pytest
import torch

from primer.data.audio.resampling import ratio, resample


def tone(frequency: float, rate: int, seconds: float = 0.5) -> torch.Tensor:
    return (2 * math.pi * frequency * torch.arange(round(seconds * rate), dtype=torch.float64) / rate).sin()


@pytest.mark.parametrize(("rate", "target"), [(16000, 8000), (44100, 8000), (8000, 16000), (22050, 16000)])
def test_a_low_tone_stays_the_same(rate: int, target: int) -> None:
    resampled, expected = resample(tone(440, rate), rate, target), tone(440, target)
    assert len(resampled) == math.ceil(rate // 2 * target / rate)
    middle = slice(300, 3500)
    assert torch.allclose(resampled[middle], expected[: len(resampled)][middle], atol=2e-3)


@pytest.mark.parametrize(("rate", "frequency"), [(16000, 5000), (44100, 4600), (48000, 15000)])
def test_a_tone_above_the_new_nyquist_frequency_is_removed(rate: int, frequency: int) -> None:
    assert resample(tone(frequency, rate), rate, 8000)[300:3500].abs().max() < 3e-3


def test_rates_without_a_common_factor_are_approximated() -> None:
    assert ratio(44100, 8000) == (80, 441)
    up, down = ratio(48001, 8000)
    assert max(up, down) <= 4000
    assert math.isclose(up / down, 8000 / 48001, rel_tol=2e-3)
    assert len(resample(tone(440, 48001), 48001, 8000)) == 4000
