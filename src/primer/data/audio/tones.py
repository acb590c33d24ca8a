"""Generated sounds: tones that are steady, rise, fall, warble or beat, and noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from primer.data.audio.reading import to_samples
from primer.data.audio.recordings import Recordings
from primer.data.base import Part, Records
from primer.errors import InputError

NAMES = ("steady", "rising", "falling", "warble", "beats", "noise")
SHORTEST, LONGEST = 0.25, 0.6
"""The length of a sound in seconds."""


class Tones(Recordings):
    """Sounds of 0.25 to 0.6 seconds with random pitch, loudness and background noise, in six classes: steady tones,
    rising and falling ones (chirps), those whose pitch warbles or whose loudness beats, and noise without a tone.

    Args:
        samples: the number of sounds.
        noise: the standard deviation of the background noise relative to the amplitude of the tone.
        data_seed: seed of everything that is drawn.
        **kwargs: see ``Recordings``.

    Raises:
        InputError: if there is less than one sound of each class, or the noise is negative.
    """

    def __init__(self, samples: int = 600, noise: float = 0.3, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if samples < len(NAMES):
            raise InputError(f"samples must be at least {len(NAMES)}, one of each class, not {samples}")
        if not 0 <= noise < math.inf:
            raise InputError(f"noise must be at least 0, not {noise}")
        self.samples, self.noise, self.data_seed = samples, noise, data_seed

    def read(self) -> dict[Part, Records]:
        generator = torch.Generator().manual_seed(self.data_seed)
        self.names = NAMES
        labels = [row % len(NAMES) for row in range(self.samples)]
        self.waveforms = [self._draw(NAMES[label], generator) for label in labels]
        return {"train": list(enumerate(labels))}

    def _draw(self, name: str, generator: torch.Generator) -> Tensor:
        rate = self.waveform.sample_rate

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * torch.rand(1, generator=generator).item()

        count = max(1, min(round(uniform(SHORTEST, LONGEST) * rate), self.waveform.longest))
        time, place = torch.arange(count) / rate, torch.linspace(-1, 1, count)
        pitch = torch.full((count,), rate / 2 * 2 ** uniform(-3, -1.5))
        speed = uniform(6, 12)  # Cycles per second.
        if name in ("rising", "falling"):
            octaves = uniform(0.3, 0.7) * place
            pitch = pitch * 2 ** (octaves if name == "rising" else -octaves)
        if name == "warble":
            pitch = pitch * 2 ** (uniform(0.15, 0.3) * (2 * math.pi * speed * time).sin())
        phase = 2 * math.pi * (uniform(0, 1) + (pitch / rate).cumsum(0))
        sound = phase.sin() * (name != "noise")
        if name == "beats":
            sound = sound * (2 * math.pi * speed * time).sin().abs()
        noise = torch.randn(count, generator=generator) * (0.3 if name == "noise" else self.noise)
        return to_samples(uniform(0.05, 0.5) * (sound + noise))
