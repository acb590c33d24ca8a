"""MobileNetV2."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.image_size import Stem, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.validation import check_rate
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks, and stride of the first block of each stage: table 2 of the paper."""

FIRST_CHANNELS, LAST_CHANNELS = 32, 1280
"""Number of channels of the first and the last convolution."""


class MobileNetV2(Model):
    """MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen 2018): a convolution, 17 inverted residual blocks, a 1x1
    convolution, global average pooling, and a fully connected layer. The published network uses a dropout of 0.2.

    The published stem has stride 2, and the network downsamples images by a factor of 32. For images of up to 64
    pixels, the stem and the second stage have stride 1, so that the factor is 8.

    Args:
        spec: description of the data set. Images may have any size.
        width_multiplier: multiplies the number of channels of each layer, rounded to multiples of 8. The last
            convolution has at least 1,280 channels.
        stem: ``published``, ``small``, or ``auto``, which chooses by the size of the images.
        normalization: normalization after each convolution.
        initialization: weight initialization.
        dropout: dropout probability of the averaged features.
        stochastic_depth: probability of skipping the last block for a sample in training. It increases linearly from
            the first block to the last; blocks without a shortcut are never skipped (Huang et al. 2016).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if the multiplier is not positive, a probability is outside [0, 1), or a name is unknown.
    """

    inputs = Image
    targets = Classes | Values
    torchvision_names: ClassVar[dict[str, str]] = {"classifier.1.": "head."}

    def __init__(
        self,
        spec: Spec,
        width_multiplier: float = 1.0,
        stem: Stem = "auto",
        normalization: Normalization = "batch",
        initialization: Initialization = "he",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        check_rate("stochastic_depth", stochastic_depth)
        if width_multiplier <= 0:
            raise InputError(f"width_multiplier must be more than 0, not {width_multiplier}")
        assert isinstance(spec.input, Image)
        small = stem_for(spec.input, stem) == "small"
        in_channels = round_channels(FIRST_CHANNELS * width_multiplier)
        layers: list[nn.Module] = [
            conv_norm_relu6(spec.input.channels, in_channels, normalization, kernel_size=3, stride=1 if small else 2)
        ]
        total = sum(count for _, _, count, _ in STAGES)
        for stage, (expansion, channels, count, first_stride) in enumerate(STAGES):
            out_channels = round_channels(channels * width_multiplier)
            for block in range(count):
                stride = first_stride if not block and not (small and stage == 1) else 1
                skip = stochastic_depth * len(layers) / total
                layers.append(InvertedResidual(in_channels, out_channels, stride, expansion, normalization, skip))
                in_channels = out_channels
        last_channels = round_channels(LAST_CHANNELS * max(1.0, width_multiplier))
        last = conv_norm_relu6(in_channels, last_channels, normalization, kernel_size=1)
        self.features = nn.Sequential(*layers, last)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(last_channels, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        return self.head(self.dropout(self.features(inputs).mean((-2, -1))))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*([layer] for layer in self.features), [self.head]]

    @classmethod
    def torchvision_name(cls, width_multiplier: float = 1.0, normalization: str = "batch", **_: object) -> str | None:
        return "mobilenet_v2" if width_multiplier == 1 and normalization == "batch" else None


class InvertedResidual(nn.Module):
    """Expands the channels, applies a depthwise convolution, and projects back without an activation (figure 3 of the
    paper). The input is added if the output has the same shape."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        normalization: Normalization,
        skip_probability: float,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        expand = [conv_norm_relu6(in_channels, hidden, normalization, kernel_size=1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            conv_norm_relu6(hidden, hidden, normalization, kernel_size=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, kernel_size=1, bias=False),
            normalization_layer(normalization, out_channels, image=True),
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.skip = StochasticDepth(skip_probability, "row") if self.residual else nn.Identity()

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch out_channels h w"]:
        return x + self.skip(self.conv(x)) if self.residual else self.conv(x)


def conv_norm_relu6(
    in_channels: int,
    out_channels: int,
    normalization: Normalization,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Builds a convolution followed by normalization and ReLU6, min(max(x, 0), 6)."""
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
        normalization_layer(normalization, out_channels, image=True),
        nn.ReLU6(),
    )


def round_channels(channels: float) -> int:
    """Rounds to the nearest multiple of 8, but never below 8 or below 0.9 times the argument."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
