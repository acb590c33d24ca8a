"""MobileNetV2."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.blocks import Normalization, check_rate, normalization_layer
from primer.models.layers.image_size import Stem, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, number of blocks, and stride of the first of them: table 2 of the paper."""

STEM, LAST = 32, 1280
"""The channels of the first and of the last convolution."""


class MobileNetV2(Model):
    """MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen 2018): a convolution, 17 inverted residual blocks, a
    convolution of 1x1, the mean over all pixels, and one full connection. The dropout of the published network is 0.2.

    The published stem has stride 2, and the network shrinks an image 32 times. For images of up to 64 pixels the stem
    and the second stage have stride 1, so that it is 8 times.

    Args:
        spec: what the data set offers. Images of any size will do.
        width_multiplier: what the channels of each layer are multiplied by; they are rounded to multiples of 8, and
            the last convolution has 1,280 at least.
        stem: ``published``, ``small``, or by the size of the images.
        normalization: after each convolution.
        initialization: of the weights.
        dropout: the share of the averaged features that is dropped in training.
        stochastic_depth: the probability that the last block is skipped for a sample in training; it grows linearly
            from the first block on, and blocks without a shortcut are never skipped (Huang et al. 2016).
        objective: the loss and the metrics.

    Raises:
        ValueError: for a multiplier that is not positive, a rate outside [0, 1) or an unknown name.
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
        before = rounded(STEM * width_multiplier)
        layers: list[nn.Module] = [
            convolution(spec.input.channels, before, normalization, kernel_size=3, stride=1 if small else 2)
        ]
        blocks = sum(count for _, _, count, _ in STAGES)
        for stage, (expansion, channels, count, first_stride) in enumerate(STAGES):
            after = rounded(channels * width_multiplier)
            for place in range(count):
                stride = first_stride if not place and not (small and stage == 1) else 1
                skipped = stochastic_depth * len(layers) / blocks
                layers.append(InvertedResidual(before, after, stride, expansion, normalization, skipped))
                before = after
        last = rounded(LAST * max(1.0, width_multiplier))
        self.features = nn.Sequential(*layers, convolution(before, last, normalization, kernel_size=1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(last, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        return self.head(self.dropout(self.features(inputs).mean((-2, -1))))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*([layer] for layer in self.features), [self.head]]

    @classmethod
    def torchvision_name(cls, width_multiplier: float = 1.0, normalization: str = "batch", **_: object) -> str | None:
        return "mobilenet_v2" if width_multiplier == 1 and normalization == "batch" else None


class InvertedResidual(nn.Module):
    """A thin input is expanded, filtered channel by channel, and projected back without an activation (figure 3 of the
    paper); what goes in is added where the shapes agree."""

    def __init__(
        self, before: int, after: int, stride: int, expansion: int, normalization: Normalization, skipped: float
    ) -> None:
        super().__init__()
        wide = before * expansion
        expand = [convolution(before, wide, normalization, kernel_size=1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(wide, wide, normalization, kernel_size=3, stride=stride, groups=wide),
            nn.Conv2d(wide, after, kernel_size=1, bias=False),
            normalization_layer(normalization, after, image=True),
        )
        self.residual = stride == 1 and before == after
        self.skip = StochasticDepth(skipped, "row") if self.residual else nn.Identity()

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after h w"]:
        return x + self.skip(self.conv(x)) if self.residual else self.conv(x)


def convolution(
    before: int, after: int, normalization: Normalization, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution, its normalisation, and ReLU6, which is min(max(x, 0), 6)."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False),
        normalization_layer(normalization, after, image=True),
        nn.ReLU6(),
    )


def rounded(channels: float) -> int:
    """The nearest multiple of 8, never less than 8 nor than 0.9 times what was asked for."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
