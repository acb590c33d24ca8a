"""Features of recordings: log-mel spectrograms and mel-frequency cepstral coefficients (MFCC)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from primer.batch import Batch
from primer.spec import Image, Series, Waveform

FLOOR = 1e-6
"""The smallest energy of a band: that of the rounding of 16-bit samples."""
FULL = 32768
"""The value of full amplitude of 16-bit samples."""
RANGE = 8.0
"""The number of standard deviations from black to white in an image of a recording."""


class Constants(NamedTuple):
    """What features are computed with: the Hann window, the mel filters ``(bins, mels)``, the cosine transform ``(mels,
    coefficients)``, and the mean and the standard deviation of each feature."""

    window: Tensor
    filters: Tensor
    cosines: Tensor | None
    mean: Tensor
    std: Tensor


class Features:
    """Computes the features of batches of recordings, on their device.

    Each window is centered on its frame, and silence precedes and follows a recording, so that the features of a
    recording do not depend on the others in its batch.

    Args:
        kind: the features.
        frames: the width of images; None for series.
    """

    def __init__(self, kind: Waveform, frames: int | None = None) -> None:
        self.kind, self.frames = kind, frames
        self._constants: dict[torch.device, Constants] = {}

    def __call__(self, batch: Batch) -> Batch:
        """Converts samples, ``(batch, samples)``, to standardized features, ``(batch, time, features)`` with zeros as
        padding, or to images; see ``to_images``."""
        assert batch.lengths is not None
        features, lengths = self.compute(batch.inputs, batch.lengths)
        constants = self._constants[features.device]
        real = frame_mask(features, lengths)
        features = ((features - constants.mean) / constants.std).masked_fill(~real, 0.0)
        if self.frames is None:
            return Batch(features, batch.targets, lengths)
        return Batch(to_images(features, lengths, self.frames), batch.targets)

    def compute(
        self, samples: Tensor, lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch time features"], Int[Tensor, " batch"]]:
        """Returns the features without standardization, and the number of windows of each recording."""
        with torch.autocast(samples.device.type, enabled=False):  # Energies need the range of single precision.
            return self._compute(samples, lengths)

    def _compute(
        self, samples: Tensor, lengths: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch time features"], Int[Tensor, " batch"]]:
        kind = self.kind
        if samples.device not in self._constants:
            self._constants[samples.device] = make_constants(kind, samples.device)
        constants = self._constants[samples.device]
        samples = samples.float() / (1 if samples.is_floating_point() else FULL)
        spectrum = torch.stft(
            samples, fft_size(kind), kind.hop, kind.window, constants.window, pad_mode="constant", return_complex=True
        )
        energies = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2) @ constants.filters
        lengths = 1 + lengths // kind.hop
        energies = energies[:, : int(lengths.max())].clamp(min=FLOOR)
        real = frame_mask(energies, lengths)
        if kind.top_db:
            loudest = energies.masked_fill(~real, FLOOR).amax((1, 2), keepdim=True)
            energies = (energies / loudest).clamp(min=10 ** (-kind.top_db / 10))
        features = energies.log()
        if constants.cosines is not None:
            features = features @ constants.cosines
        if kind.centered:
            count = lengths.to(features.device, non_blocking=True)[:, None, None]
            features = features - features.masked_fill(~real, 0.0).sum(1, keepdim=True) / count
        return features, lengths


def to_images(
    features: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"], frames: int
) -> Float[Tensor, "batch 1 features frames"]:
    """Converts features to images with a row per feature, the highest first, and ``frames`` columns. Longer recordings
    are cropped to their middle, and shorter ones are padded on both sides with 0.5, the mean. A standard deviation is
    ``1 / RANGE``, and values are clipped to [0, 1]."""
    starts = (lengths - frames).div(2, rounding_mode="floor").to(features.device, non_blocking=True)
    positions = starts[:, None] + torch.arange(frames, device=features.device)
    # Steps before or after a recording read a step of padding behind the longest one.
    longest = features.shape[1]
    outside = (positions < 0) | (positions >= longest)
    padded = F.pad(features, (0, 0, 0, 1))
    rows = positions.masked_fill(outside, longest)[..., None].expand(-1, -1, features.shape[2])
    return (padded.gather(1, rows) / RANGE + 0.5).clamp_(0, 1).transpose(1, 2).flip(1).unsqueeze(1)


def frame_mask(features: Tensor, lengths: Int[Tensor, " batch"]) -> Tensor:
    """Returns which steps ``(batch, time, 1)`` are not padding."""
    mask = torch.arange(features.shape[1]) < lengths[:, None]
    return mask[..., None].to(features.device, non_blocking=True)


def input_of(kind: Waveform, frames: int | None) -> Series | Image:
    """Returns the type of the features: series, or images of ``frames`` columns."""
    if frames is None:
        return Series(kind.size, padded=True, recording=kind)
    return Image(1, kind.size, frames, (0.5,), (1 / RANGE,), maximum=1.0, recording=kind)


def make_constants(kind: Waveform, device: torch.device) -> Constants:
    """Returns what features are computed with."""
    filters = mel_filters(kind.sample_rate, fft_size(kind), kind.mels)
    cosines = cosine_transform(kind.mels, kind.coefficients) if kind.features == "mfcc" else None
    # The scale of the window does not matter for the standardized features, but for the floor.
    window = torch.hann_window(kind.window)
    mean, std = torch.tensor(kind.mean or (0.0,)), torch.tensor(kind.std or (1.0,))
    return Constants(*(None if one is None else one.to(device) for one in (window, filters, cosines, mean, std)))  # type: ignore[arg-type]


def fft_size(kind: Waveform) -> int:
    """Returns the size of the Fourier transform: a power of two, at least the window, with a bin in each mel band."""
    size = 1 << (kind.window - 1).bit_length()
    narrowest = mel_to_hz(hz_to_mel(kind.sample_rate / 2) / (kind.mels + 1))
    return max(size, 1 << math.ceil(math.log2(kind.sample_rate / narrowest)))


def mel_filters(rate: int, size: int, mels: int) -> Float[Tensor, "bins mels"]:
    """Returns triangular filters, each from the center of the previous band to that of the next one. The centers are
    evenly spaced in mel (Davis and Mermelstein 1980), from 0 Hz to half the sample rate."""
    top = hz_to_mel(rate / 2)
    edges = torch.tensor([mel_to_hz(top * k / (mels + 1)) for k in range(mels + 2)], dtype=torch.float64)
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)[:, None]
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    return torch.minimum((bins - low) / (center - low), (high - bins) / (high - center)).clamp(min=0).float()


def cosine_transform(mels: int, coefficients: int) -> Float[Tensor, "mels coefficients"]:
    """Returns the first columns of the orthonormal discrete cosine transform (DCT-II)."""
    steps = torch.arange(mels, dtype=torch.float64)[:, None] + 0.5
    cosines = (math.pi / mels * steps * torch.arange(coefficients)).cos() * math.sqrt(2 / mels)
    cosines[:, 0] /= math.sqrt(2)
    return cosines.float()


def hz_to_mel(hz: float) -> float:
    r"""Returns :math:`2595 \log_{10}(1 + f / 700)` (O'Shaughnessy 1987)."""
    return 2595 * math.log10(1 + hz / 700)


def mel_to_hz(mel: float) -> float:
    """The inverse of ``hz_to_mel``."""
    return 700 * (10 ** (mel / 2595) - 1)
