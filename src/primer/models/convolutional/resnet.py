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
from primer.models.layers.image_size import Stem, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.validation import check_choice, check_layers, check_rate, check_sizes
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
"""Torchvision's names of the networks in table 1 of the paper, by block and layers."""


class ResNet(Model):
    r"""A residual network (He, Zhang, Ren and Sun 2016): a stem, stages of residual blocks, global average pooling, and
    a fully connected layer. Each block learns a residual that is added to its input: :math:`y = F(x) + x`.

    Each stage but the first halves the height and width and doubles the channels. ``layers=[2, 2, 2, 2]`` with basic
    blocks is ResNet-18. ``[3, 4, 6, 3]`` is ResNet-34, or with bottlenecks ResNet-50, with the stride in the 3x3
    convolution. The CIFAR networks (section 4.2) have ``width=16``, three stages of n blocks each, the small stem and
    padding shortcuts: 6n + 2 layers.

    Args:
        spec: description of the data set. Images may have any size.
        block: ``basic``, two 3x3 convolutions; or ``bottleneck``, a 3x3 convolution between two 1x1 convolutions.
        layers: number of blocks in each stage.
        width: number of channels of the first stage; bottlenecks output four times as many.
        stem: ``published``, a 7x7 convolution and pooling, both with stride 2; ``small``, a 3x3 convolution with
            stride 1; or ``auto``, which chooses by the size of the images.
        shortcut: shortcut of blocks that change the shape: ``projection``, a 1x1 convolution (option B of the paper);
            or ``padding``, subsampling and zero-padding of the channels, without parameters (option A).
        normalization: normalization after each convolution.
        initialization: weight initialization.
        dropout: dropout probability of the averaged features.
        stochastic_depth: probability of skipping the last block for a sample in training. It increases linearly from
            the first block to the last (Huang et al. 2016).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, there are no stages, a probability is outside [0, 1), or a name is
            unknown.
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
        check_sizes(width=width)
        check_layers(**{f"layers[{stage}]": blocks for stage, blocks in enumerate(layers)})
        check_choice("block", block, tuple(BLOCKS))
        check_choice("shortcut", shortcut, ("projection", "padding"))
        if not layers:
            raise InputError("layers must give the number of blocks of at least one stage: [2, 2, 2, 2] is ResNet-18")
        assert isinstance(spec.input, Image)
        small = stem_for(spec.input, stem) == "small"
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(spec.input.channels, width, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = normalization_layer(normalization, width, image=True)
        self.pool = nn.Identity() if small else nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        stages, in_channels, depth = [], width, 0
        for stage, num_blocks in enumerate(layers):
            channels, blocks = width * 2**stage, []
            for index in range(num_blocks):
                depth += 1
                blocks.append(
                    BLOCKS[block](
                        in_channels,
                        channels,
                        stride=2 if stage and not index else 1,
                        shortcut=shortcut,
                        normalization=normalization,
                        skip_probability=stochastic_depth * depth / sum(layers),
                    )
                )
                in_channels = channels * BLOCKS[block].expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(in_channels, self.outputs)
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
        published = width == 64 and shortcut == "projection" and normalization == "batch"
        return PUBLISHED.get((block, tuple(layers))) if published else None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut connection (figure 5, left, of the paper)."""

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        shortcut: Shortcut,
        normalization: Normalization,
        skip_probability: float,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = normalization_layer(normalization, channels, image=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = normalization_layer(normalization, channels, image=True)
        self.downsample = shortcut_layer(in_channels, channels, stride, shortcut, normalization)
        self.skip = StochasticDepth(skip_probability, "row")

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch channels h w"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(self.skip(out) + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution on a quarter of the channels, between two 1x1 convolutions, with a shortcut connection (figure
    5, right, of the paper). The stride is in the 3x3 convolution, as in torchvision."""

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        shortcut: Shortcut,
        normalization: Normalization,
        skip_probability: float,
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = normalization_layer(normalization, channels, image=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = normalization_layer(normalization, channels, image=True)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = normalization_layer(normalization, out_channels, image=True)
        self.downsample = shortcut_layer(in_channels, out_channels, stride, shortcut, normalization)
        self.skip = StochasticDepth(skip_probability, "row")

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch out_channels h w"]:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(self.skip(out) + self.downsample(x))


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def shortcut_layer(
    in_channels: int, out_channels: int, stride: int, shortcut: Shortcut, normalization: Normalization
) -> nn.Module:
    """Builds the layer that maps the input of a block to the shape of its output."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if shortcut == "padding":
        return PaddingShortcut(out_channels - in_channels, stride)
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(convolution, normalization_layer(normalization, out_channels, image=True))


class PaddingShortcut(nn.Module):
    """Subsamples by ``stride`` and appends ``extra_channels`` channels of zeros."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels, self.stride = extra_channels, stride

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch out_channels h w"]:
        return F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra_channels))
