"""Color augmentation."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, as_floats, check_scalar, constant_like, uniform
from primer.spec import Spec

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=torch.float64)
"""Maps RGB to luma and the two chroma axes I and Q (NTSC 1953)."""

LUMA = torch.outer(torch.ones(3, dtype=torch.float64), YIQ[0])
"""Maps a color to the gray with the same luma."""

QUARTER_TURN = torch.linalg.inv(YIQ) @ torch.tensor([[0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64) @ YIQ
"""Maps a color to its chroma, rotated by 90 degrees in the IQ plane."""


class ColorJitter(Augmentation):
    r"""Changes brightness, contrast, saturation and hue, in this order. Without three channels, changes only brightness
    and contrast.

    All four changes are linear in the pixels :math:`x` of an image, so they are applied as one matrix (Haeberli 1993):

    .. math:: b c \, (L + s \, (\cos(\theta) (I - L) + \sin(\theta) Q)) \, x + b (1 - c) m

    with the factors :math:`b`, :math:`c` and :math:`s`, the angle :math:`\theta`, the mean luma :math:`m`, the
    grayscale matrix :math:`L`, and the rotation :math:`Q` of chroma by 90 degrees. The result is clipped to [0, 1],
    once.

    Args:
        brightness, contrast, saturation: each factor is drawn uniformly from ``1 - value`` to ``1 + value``.
        hue: maximum rotation of the chroma in either direction, in turns; drawn uniformly.

    Raises:
        InputError: if an argument is not from 0 to 1, or ``hue`` is not from 0 to 0.5.
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.05
    ) -> None:
        self.brightness = check_scalar("ColorJitter: brightness", brightness)
        self.contrast = check_scalar("ColorJitter: contrast", contrast)
        self.saturation = check_scalar("ColorJitter: saturation", saturation)
        self.hue = check_scalar("ColorJitter: hue", hue, most=0.5)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = as_floats(batch.inputs)
        brightness, contrast, saturation = (
            uniform(1 - value, 1 + value, images, generator)
            for value in (self.brightness, self.contrast, self.saturation)
        )
        angle = uniform(-self.hue, self.hue, images, generator).mul_(2 * math.pi)
        return batch._replace(inputs=recolor(images, brightness, contrast, saturation, angle))


def recolor(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, angle: Tensor) -> Tensor:
    """Recolors ``(batch, channels, height, width)`` floats with three factors and an angle (in radians) per image."""
    brightness, contrast, saturation, angle = (
        value.view(-1, 1, 1).to(images.dtype) for value in (brightness, contrast, saturation, angle)
    )
    pixels, gain = images.flatten(2), brightness * contrast
    means = pixels.mean(2, keepdim=True)
    if images.shape[1] != 3:
        offset = brightness * (1 - contrast) * means.mean(1, keepdim=True)
        return (pixels * gain).add_(offset).clamp_(0, 1).view_as(images)
    luma, quarter = (constant_like(constant, images) for constant in (LUMA, QUARTER_TURN))
    chroma = torch.eye(3, dtype=images.dtype, device=images.device) - luma
    matrix = gain * (luma + saturation * (angle.cos() * chroma + angle.sin() * quarter))
    offset = brightness * (1 - contrast) * (luma @ means)
    return torch.baddbmm(offset, matrix, pixels).clamp_(0, 1).view_as(images)
