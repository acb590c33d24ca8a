"""Videos of a moving digit, whose class is the motion."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.images.digits import Digits
from primer.data.images.images import MNIST
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Spec, Video

MOTIONS = ("left", "right", "up", "down", "circle", "growing", "shrinking")
"""The classes."""

SMALLEST, LARGEST = 0.25, 0.95
"""The range of the side of a digit, relative to that of the video."""

PATH = 0.7, 1.2
"""The range of the length of a straight path, relative to the side of the video."""

RADIUS = 0.15, 0.3
"""The range of the radius of a circle, relative to the side of the video."""

CHUNK = 256
"""The number of videos that are drawn at once."""


class MovingDigits(DataModule):
    """Grayscale videos of a handwritten digit that moves left, right, up, down or in a circle, or grows or shrinks.

    A digit that leaves the video on one side enters it on the other one, and one that has grown to the largest size
    continues with the smallest. Its place and its size are drawn uniformly, so that they have the same distribution in
    every frame of every class: a single frame does not show the class, only the order of the frames does.

    Args:
        digits: ``sklearn``, the 8x8 digits included in scikit-learn, or ``mnist``, which is downloaded.
        samples: number of videos, of all classes alike.
        frames: number of frames of a video.
        side: height and width in pixels.
        shuffle_frames: whether to put the frames of each video in random order, which shows what the order is good for.
        data_seed: seed of the videos.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a number is less than 1, or ``digits`` is unknown.
    """

    inputs = Video
    targets = Classes

    def __init__(
        self,
        digits: Literal["sklearn", "mnist"] = "sklearn",
        samples: int = 3000,
        frames: int = 10,
        side: int = 24,
        shuffle_frames: bool = False,
        data_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("samples", samples), ("frames", frames), ("side", side)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if digits not in ("sklearn", "mnist"):
            raise InputError(f"digits must be one of sklearn, mnist, not {digits!r}")
        self.samples, self.frames, self.side, self.data_seed = samples, frames, side, data_seed
        self.shuffle_frames = shuffle_frames
        self.source = (MNIST if digits == "mnist" else Digits)(data_dir=self.data_dir)

    def download(self) -> None:
        self.source.download()

    def read(self) -> dict[Part, Records]:
        generator = torch.Generator().manual_seed(self.data_seed)
        images = self.source.read()["train"].inputs  # type: ignore[union-attr]
        images = images.float() / 255 if images.dtype == torch.uint8 else images
        motion = torch.arange(self.samples) % len(MOTIONS)
        digit = images[torch.randint(len(images), (self.samples,), generator=generator)]
        centers, sizes = draw_paths(motion, self.frames, generator)
        if self.shuffle_frames:
            order = torch.rand(self.samples, self.frames, generator=generator).argsort(1)
            centers, sizes = centers.gather(1, order[..., None].expand_as(centers)), sizes.gather(1, order)
        parts = zip(digit.split(CHUNK), centers.split(CHUNK), sizes.split(CHUNK), strict=True)
        return {"train": Batch(torch.cat([render(*part, self.side) for part in parts]), motion)}

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        mean, std = moments(train.inputs.flatten(0, 1))
        return Spec(Video(self.frames, 1, self.side, self.side, mean, std), Classes(MOTIONS))

    def encode(self, records: Any) -> Batch:
        return records


def draw_paths(motion: Tensor, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws where the digits are in each frame.

    Args:
        motion: ``(videos,)`` indices into ``MOTIONS``.
        frames: number of frames.
        generator: the source of randomness.

    Returns:
        ``(videos, frames, 2)`` the horizontal and vertical center, and ``(videos, frames)`` the side of the digit, as
        fractions of the side of the video. Centers may lie outside of [0, 1): the video is a torus.
    """
    videos = len(motion)
    time = torch.linspace(0, 1, frames) if frames > 1 else torch.zeros(1)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(videos, 1, generator=generator) * (high - low) + low

    length, radius, start = uniform(*PATH), uniform(*RADIUS), uniform(0, 1)
    turns = torch.randint(2, (videos, 1), generator=generator) * 2 - 1
    centers = torch.rand(videos, 1, 2, generator=generator).repeat(1, frames, 1)
    for name, axis, sign in (("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)):
        centers[..., axis] += (motion == MOTIONS.index(name))[:, None] * sign * length * time
    angle = 2 * math.pi * (start + turns * time)
    circle = (motion == MOTIONS.index("circle"))[:, None, None]
    centers += circle * radius[..., None] * torch.stack([angle.cos(), angle.sin()], 2)
    growth = (motion == MOTIONS.index("growing")).float() - (motion == MOTIONS.index("shrinking")).float()
    sizes = (uniform(0, 1) + growth[:, None] * length * time) % 1
    return centers, SMALLEST + (LARGEST - SMALLEST) * sizes


def render(digits: Tensor, centers: Tensor, sizes: Tensor, side: int) -> Tensor:
    """Draws digits on a torus.

    Args:
        digits: ``(videos, 1, height, width)`` with values in [0, 1].
        centers, sizes: see ``draw_paths``.
        side: height and width of the videos.

    Returns:
        ``(videos, frames, 1, side, side)`` bytes.
    """
    videos, frames = sizes.shape
    pixels = (torch.arange(side) + 0.5) / side
    offsets = (pixels - centers[..., None] + 0.5) % 1 - 0.5  # (videos, frames, 2, side), the shortest way around.
    x, y = (2 * offsets / sizes[..., None, None]).flatten(0, 1).unbind(1)
    grid = torch.stack([x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], 3)
    repeated = digits.repeat_interleave(frames, 0)
    drawn = F.grid_sample(repeated, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (drawn * 255).round().to(torch.uint8).unflatten(0, (videos, frames))
