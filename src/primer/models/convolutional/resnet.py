"""Residual networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.blocks import Normalization, check_rate, check_sizes, normalization_layer
from primer.models.layers.image_size import Stem, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values

Block = Literal["basic", "bottleneck"]
Shortcut = Literal["projection", "padding"]

PUBLISHED: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
"""What torchvision calls the networks of table 1 of the paper."""


class ResNet(Model):
    r"""A residual network (He, Zhang, Ren and Sun 2016): a stem, stages of residual blocks, the mean over all pixels,
    and one full connection. Each block learns what is to be added to its input: :math:`y = F(x) + x`.

    Each stage but the first halves height and width and doubles the channels. ``layers=[2, 2, 2, 2]`` with basic blocks
    is ResNet-18, ``[3, 4, 6, 3]`` ResNet-34, and with bottlenecks ResNet-50, whose stride is in the 3x3 convolution.
    The family for CIFAR (section 4.2) has ``width=16``, three stages of n blocks each, the small stem and padding
    shortcuts: 6n + 2 layers.

    Args:
        spec: what the data set offers. Images of any size will do.
        block: ``basic``, two convolutions of 3x3; or ``bottleneck``, one of 3x3 between two of 1x1.
        layers: the number of blocks in each stage.
        width: the channels of the first stage; a bottleneck puts out four times as many.
        stem: ``published``, a convolution of 7x7 and pooling, both with stride 2; ``small``, a convolution of 3x3 with
            stride 1; or by the size of the images.
        shortcut: what the input of a block goes through where its shape changes: a ``projection`` by a 1x1 convolution
            (option B of the paper), or subsampling and ``padding`` with zeros, which has no parameters (option A).
        normalization: after each convolution.
        initialization: of the weights.
        dropout: the share of the averaged features that is dropped in training.
        stochastic_depth: the probability that the last block is skipped for a sample in training; it grows linearly
            from the first block on (Huang et al. 2016).
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, no stages, a rate outside [0, 1) or an unknown name.
    """

    inputs = Image
    targets = Classes | Values
    torchvision_names: ClassVar[dict[str, str]] = {
        "layer1.": "stages.0.",
        "layer2.": "stages.1.",
        "layer3.": "stages.2.",
        "layer4.": "stages.3.",
        "fc.": "head.",
    }

    def __init__(
        self,
        spec: Spec,
        block: Block = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        stem: Stem = "auto",
        shortcut: Shortcut = "projection",
        normalization: Normalization = "batch",
        initialization: Initialization = "he",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        check_rate("stochastic_depth", stochastic_depth)
        check_sizes(width=width, **{f"layers[{stage}]": blocks for stage, blocks in enumerate(layers)})
        if block not in BLOCKS:
            raise InputError(f"block must be basic or bottleneck, not {block!r}")
        if shortcut not in ("projection", "padding"):
            raise InputError(f"shortcut must be projection or padding, not {shortcut!r}")
        if not layers:
            raise InputError("layers must name the blocks of at least one stage: [2, 2, 2, 2] is ResNet-18")
        assert isinstance(spec.input, Image)
        small = stem_for(spec.input, stem) == "small"
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(spec.input.channels, width, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = normalization_layer(normalization, width, image=True)
        self.pool = nn.Identity() if small else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        stages, before, done = [], width, 0
        for stage, blocks in enumerate(layers):
            channels, parts = width * 2**stage, []
            for place in range(blocks):
                done += 1
                parts.append(
                    BLOCKS[block](
                        before,
                        channels,
                        stride=2 if stage and not place else 1,
                        shortcut=shortcut,
                        normalization=normalization,
                        skipped=stochastic_depth * done / sum(layers),
                    )
                )
                before = channels * BLOCKS[block].expansion
            stages.append(nn.Sequential(*parts))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.stages(self.pool(F.relu(self.bn1(self.conv1(inputs)))))
        return self.head(self.dropout(maps.mean((-2, -1))))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [[self.conv1, self.bn1], *([stage] for stage in self.stages), [self.head]]

    @classmethod
    def torchvision_name(
        cls,
        block: str = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        shortcut: str = "projection",
        normalization: str = "batch",
        **_: object,
    ) -> str | None:
        as_published = width == 64 and shortcut == "projection" and normalization == "batch"
        return PUBLISHED.get((block, tuple(layers))) if as_published else None


class BasicBlock(nn.Module):
    """Two convolutions of 3x3 pixels beside a shortcut (figure 5, left, of the paper)."""

    expansion: ClassVar[int] = 1

    def __init__(
        self, before: int, channels: int, stride: int, shortcut: Shortcut, normalization: Normalization, skipped: float
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = normalization_layer(normalization, channels, image=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = normalization_layer(normalization, channels, image=True)
        self.downsample = shortcut_layer(before, channels, stride, shortcut, normalization)
        self.skip = StochasticDepth(skipped, "row")

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch channels h w"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(self.skip(out) + self.downsample(x))


class Bottleneck(nn.Module):
    """A convolution of 3x3 pixels on a quarter of the channels, between two of 1x1, beside a shortcut (figure 5,
    right, of the paper). The stride is that of the 3x3 convolution, as in torchvision."""

    expansion: ClassVar[int] = 4

    def __init__(
        self, before: int, channels: int, stride: int, shortcut: Shortcut, normalization: Normalization, skipped: float
    ) -> None:
        super().__init__()
        after = channels * self.expansion
        self.conv1 = nn.Conv2d(before, channels, 1, bias=False)
        self.bn1 = normalization_layer(normalization, channels, image=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = normalization_layer(normalization, channels, image=True)
        self.conv3 = nn.Conv2d(channels, after, 1, bias=False)
        self.bn3 = normalization_layer(normalization, after, image=True)
        self.downsample = shortcut_layer(before, after, stride, shortcut, normalization)
        self.skip = StochasticDepth(skipped, "row")

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after h w"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(self.skip(out) + self.downsample(x))


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def shortcut_layer(before: int, after: int, stride: int, shortcut: Shortcut, normalization: Normalization) -> nn.Module:
    """What takes the input of a block to the shape of its output."""
    if stride == 1 and before == after:
        return nn.Identity()
    if shortcut == "padding":
        return PaddingShortcut(after - before, stride)
    convolution = nn.Conv2d(before, after, 1, stride, bias=False)
    return nn.Sequential(convolution, normalization_layer(normalization, after, image=True))


class PaddingShortcut(nn.Module):
    """Every second pixel, and channels of zeros for those that are new."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after h w"]:
        return F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.channels))
