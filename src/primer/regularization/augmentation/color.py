"""The colours of an image."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, as_floats, check_share, like, uniform
from primer.spec import Spec

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=torch.float64)
"""Red, green and blue to luma and the two axes of chroma, I and Q (NTSC 1953)."""

LUMA = torch.outer(torch.ones(3, dtype=torch.float64), YIQ[0])
"""A colour to the grey that is as light."""

QUARTER_TURN = torch.linalg.inv(YIQ) @ torch.tensor([[0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64) @ YIQ
"""A colour to its chroma, turned by a right angle in the plane of I and Q."""


class ColorJitter(Augmentation):
    r"""Changes brightness, contrast, saturation and hue, in this order; of images that have not three channels,
    brightness and contrast.

    All four are linear in the pixels :math:`x` of an image, so one matrix does them (Haeberli 1993):

    .. math:: b c \, (L + s \, (\cos(\theta) (I - L) + \sin(\theta) Q)) \, x + b (1 - c) m

    with the factors :math:`b`, :math:`c` and :math:`s`, the angle :math:`\theta`, the mean luma :math:`m`, the matrix
    :math:`L` that makes grey, and the quarter turn :math:`Q` of chroma. The result is cut off at 0 and 1, once.

    Args:
        brightness, contrast, saturation: the factor of each is drawn evenly from ``1 - value`` to ``1 + value``.
        hue: the largest turn of the chroma to either side, in turns; each up to it is equally likely.

    Raises:
        ValueError: where a value is not from 0 to 1, or hue to 0.5.
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.05
    ) -> None:
        self.brightness = check_share("the brightness of a colour jitter", brightness)
        self.contrast = check_share("the contrast of a colour jitter", contrast)
        self.saturation = check_share("the saturation of a colour jitter", saturation)
        self.hue = check_share("the hue of a colour jitter", hue, most=0.5)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        images = as_floats(batch.inputs)
        brightness, contrast, saturation = (
            uniform(1 - value, 1 + value, images, generator)
            for value in (self.brightness, self.contrast, self.saturation)
        )
        angle = uniform(-self.hue, self.hue, images, generator).mul_(2 * math.pi)
        return batch._replace(inputs=recolor(images, brightness, contrast, saturation, angle))


def recolor(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, angle: Tensor) -> Tensor:
    """``(batch, channels, height, width)`` floats with three factors and an angle (in radians) for each image."""
    brightness, contrast, saturation, angle = (
        value.view(-1, 1, 1).to(images.dtype) for value in (brightness, contrast, saturation, angle)
    )
    pixels, gain = images.flatten(2), brightness * contrast
    means = pixels.mean(2, keepdim=True)
    if images.shape[1] != 3:
        rest = brightness * (1 - contrast) * means.mean(1, keepdim=True)
        return (pixels * gain).add_(rest).clamp_(0, 1).view_as(images)
    luma, quarter = (like(constant, images) for constant in (LUMA, QUARTER_TURN))
    chroma = torch.eye(3, dtype=images.dtype, device=images.device) - luma
    matrix = gain * (luma + saturation * (angle.cos() * chroma + angle.sin() * quarter))
    rest = brightness * (1 - contrast) * (luma @ means)
    return torch.baddbmm(rest, matrix, pixels).clamp_(0, 1).view_as(images)
