"""Augmentation of recordings: of their samples before features are computed, or of their spectrograms."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.regularization.augmentation.base import Augmentation, check_range, check_scalar, uniform
from primer.spec import Classes, Image, NoTarget, Spec, Waveform, recording_of

OWN_SEED = 0x5EED
"""Changes the seed of a generator into that of an independent one."""


class AudioAugmentation(Augmentation):
    """Base class of augmentations of recordings."""

    inputs = Waveform
    targets = Classes | NoTarget


class Speed(AudioAugmentation):
    """Plays recordings faster or slower, which also changes their pitch (Ko et al. 2015), by linear interpolation.

    Args:
        factor: minimum and maximum speed; drawn log-uniformly.

    Raises:
        InputError: if ``factor`` is not a valid range.
    """

    compact = True

    def __init__(self, factor: tuple[float, float] = (0.85, 1.18)) -> None:
        self.factor = check_range("Speed: factor", factor, most=10)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        assert batch.lengths is not None
        samples, lengths = batch.inputs, batch.lengths
        low, high = (torch.tensor(bound, dtype=torch.float64).log() for bound in self.factor)
        # On the CPU, where lengths are, so that nothing waits for the device; with a seed of its own, so that the draws
        # of another step are independent of these.
        own = Generator().manual_seed(generator.initial_seed() ^ OWN_SEED)
        draws = torch.rand(batch.size, generator=own, dtype=torch.float64)
        factors = torch.lerp(low, high, draws).exp()
        lengths = (lengths / factors).long().clamp(min=1)
        longest = int(lengths.max()) if batch.size else 0
        moments = torch.arange(longest, dtype=torch.float64) * factors[:, None]
        last = (batch.lengths - 1)[:, None]
        before = torch.minimum(moments.long(), last)
        after = torch.minimum(before + 1, last)
        real = torch.arange(longest) < lengths[:, None]
        weight = (moments - before).clamp(0, 1).float()
        before, after, weight, real = (
            part.to(samples.device, non_blocking=True) for part in (before, after, weight, real)
        )
        values = as_waves(samples)
        values = torch.lerp(values.gather(1, before), values.gather(1, after), weight) * real
        return batch._replace(inputs=values, lengths=lengths)


class BackgroundNoise(AudioAugmentation):
    """Adds white noise to recordings.

    Args:
        snr: minimum and maximum ratio of the energies of recording and noise, in decibels; drawn uniformly.
        probability: probability of adding noise, per recording.

    Raises:
        InputError: if ``snr`` does not ascend, or ``probability`` is not from 0 to 1.
    """

    compact = True

    def __init__(self, snr: tuple[float, float] = (10.0, 40.0), probability: float = 1.0) -> None:
        low, high = snr
        if not low <= high:
            raise InputError(f"BackgroundNoise: snr must be two ascending numbers, not {list(snr)}")
        self.snr, self.probability = (low, high), check_scalar("BackgroundNoise: probability", probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        assert batch.lengths is not None
        values = as_waves(batch.inputs)
        lengths = batch.lengths.to(values.device, non_blocking=True)[:, None]
        snr = uniform(*self.snr, values, generator)[:, None]
        added = uniform(0, 1, values, generator)[:, None] < self.probability
        # Padding is zero and stays so.
        energy = values.square().sum(1, keepdim=True) / lengths
        std = (energy * 10 ** (-snr / 10)).sqrt() * added
        real = torch.arange(values.shape[1], device=values.device) < lengths
        noise = torch.randn(values.shape, generator=generator, device=values.device)
        return batch._replace(inputs=values + std * noise * real)


class TimeShift(AudioAugmentation):
    """Shifts spectrograms in time. What enters is the mean of the training part, and what leaves is lost.

    Args:
        seconds: maximum shift in either direction; drawn uniformly.

    Raises:
        InputError: if ``seconds`` is negative or more than 60.
    """

    def __init__(self, seconds: float = 0.1) -> None:
        self.seconds = check_scalar("TimeShift: seconds", seconds, most=60)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        kind = recording_of(spec.input)
        assert kind is not None
        steps, fill = as_steps(batch.inputs, spec)
        most = self.seconds * kind.sample_rate / kind.hop
        shift = uniform(-most, most, steps, generator).round().long()
        positions = torch.arange(steps.shape[1], device=steps.device) - shift[:, None]
        inside = (positions >= 0) & (positions < steps.shape[1])
        rows = positions.clamp(0, steps.shape[1] - 1)[..., None].expand(-1, -1, steps.shape[2])
        return with_steps(batch, steps.gather(1, rows), inside[..., None], fill, spec)


class SpecAugment(AudioAugmentation):
    """Replaces bands and time spans of spectrograms by the mean of the training part (Park et al. 2019, without time
    warping).

    Args:
        bands, spans: the number of bands of features, and of time spans, per recording; they may overlap.
        band, span: maximum width as a fraction of all features, and of the recording or the image; drawn uniformly.

    Raises:
        InputError: if a number is negative, or a fraction is not from 0 to 1.
    """

    def __init__(self, bands: int = 1, band: float = 0.25, spans: int = 1, span: float = 0.25) -> None:
        for name, count in (("bands", bands), ("spans", spans)):
            if count < 0:
                raise InputError(f"SpecAugment: {name} must be at least 0, not {count}")
        self.bands, self.spans = bands, spans
        self.band, self.span = check_scalar("SpecAugment: band", band), check_scalar("SpecAugment: span", span)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        steps, fill = as_steps(batch.inputs, spec)
        lengths = torch.full((batch.size,), steps.shape[1]) if batch.lengths is None else batch.lengths
        time = lengths.to(steps.device, non_blocking=True)
        features = torch.full_like(time, steps.shape[2])
        kept = torch.ones(1, 1, 1, dtype=torch.bool, device=steps.device)
        for _ in range(self.spans):
            kept = kept & ~random_span(steps, time, self.span, generator, steps.shape[1])[:, :, None]
        for _ in range(self.bands):
            kept = kept & ~random_span(steps, features, self.band, generator, steps.shape[2])[:, None, :]
        return with_steps(batch, steps, kept, fill, spec)


def random_span(steps: Tensor, sizes: Tensor, fraction: float, generator: Generator, length: int) -> Tensor:
    """Returns a mask ``(batch, length)`` of a random span within the first ``sizes`` entries of each sample, of up to a
    fraction of them."""
    width = (uniform(0, fraction, steps, generator) * sizes).round()
    start = (uniform(0, 1, steps, generator) * (sizes - width + 1)).floor()
    places = torch.arange(length, device=steps.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])


def as_waves(samples: Tensor) -> Tensor:
    """Converts samples to floats from -1 to 1."""
    return samples if samples.is_floating_point() else samples.float() / 32768


def as_steps(inputs: Tensor, spec: Spec) -> tuple[Tensor, float]:
    """Returns features as ``(batch, time, features)``, and the value of the mean: images have other values."""
    if isinstance(spec.input, Image):
        return inputs[:, 0].transpose(1, 2), spec.input.mean[0]
    return inputs, 0.0


def with_steps(batch: Batch, steps: Tensor, kept: Tensor, fill: float, spec: Spec) -> Batch:
    """Returns the batch with other features, in its own layout, where they are kept; otherwise, with the mean."""
    steps = torch.where(kept, steps, fill)
    if batch.lengths is not None:  # Padding stays zero.
        real = torch.arange(steps.shape[1]) < batch.lengths[:, None]
        steps = steps * real[..., None].to(steps.device, non_blocking=True)
    return batch._replace(inputs=steps.transpose(1, 2).unsqueeze(1) if isinstance(spec.input, Image) else steps)
