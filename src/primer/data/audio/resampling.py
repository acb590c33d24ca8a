"""Band-limited resampling of recordings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ZEROS = 24
"""The number of zero crossings of the filter on each side of its center."""
ROLLOFF = 0.95
"""The cutoff of the filter relative to the lower of both Nyquist frequencies, so that little above it is left."""
MAX_PHASES = 4000
"""The maximum number of phases of the filter. Rates whose ratio has larger terms are approximated."""


def resample(samples: Float[Tensor, " samples"], rate: int, target: int) -> Float[Tensor, " resampled"]:
    """Resamples a recording with a sinc filter with a Hann window, which removes what is above the lower of both
    Nyquist frequencies (Smith and Gossett 1984). The result has ``ceil(samples * target / rate)`` samples.

    Args:
        samples: the recording.
        rate, target: its sample rate, and the one that it should have, in Hz.
    """
    if rate == target:
        return samples
    length = math.ceil(len(samples) * target / rate)
    up, down = ratio(rate, target)
    cutoff = ROLLOFF * min(up, down) / down  # In half cycles per input sample.
    reach = math.ceil(ZEROS / cutoff)
    # Output sample n, of phase n % up, is at the time n * down / up of the input.
    phase = torch.arange(up, dtype=torch.float64)[:, None] * down / up
    taps = torch.arange(-reach, reach + down + 1, dtype=torch.float64)[None] - phase
    window = torch.where(taps.abs() < reach, (taps * math.pi / (2 * reach)).cos().square(), 0.0)
    filters = (cutoff * torch.sinc(cutoff * taps) * window).to(samples.dtype)
    blocks = math.ceil(length / up)
    padded = F.pad(samples, (reach, max(0, blocks * down + 2 * reach + 1 - len(samples))))
    return F.conv1d(padded[None, None], filters[:, None], stride=down)[0].T[:blocks].flatten()[:length]


def ratio(rate: int, target: int) -> tuple[int, int]:
    """Returns the terms of ``target / rate``, approximated if they are large."""
    common = math.gcd(rate, target)
    up, down = target // common, rate // common
    if max(up, down) > MAX_PHASES:
        scale = MAX_PHASES / max(up, down)
        up, down = max(1, round(up * scale)), max(1, round(down * scale))
    return up, down
