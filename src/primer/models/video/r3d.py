"""Residual networks with 3-D convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.image_size import Stem, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.validation import check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, Video


class R3D(Model):
    """A residual network whose convolutions have three dimensions: time, height and width (Tran et al. 2018, "A closer
    look at spatiotemporal convolutions for action recognition", section 3.2).

    Each stage but the first halves the number of frames, the height and the width, and doubles the channels.
    ``layers=[2, 2, 2, 2]``, ``width=64`` and the published stem are R3D-18.

    Args:
        spec: description of the data set.
        layers: number of residual blocks in each stage.
        width: number of channels of the first stage.
        stem: ``published``, a 3x7x7 convolution that halves the height and the width; ``small``, a 3x3x3 convolution;
            or ``auto``, which chooses by the size of the frames.
        initialization: weight initialization.
        dropout: dropout probability of the averaged features.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, there are no stages, a name is unknown, or the dropout probability is
            outside [0, 1).
    """

    inputs = Video
    targets = Classes | Values

    def __init__(
        self,
        spec: Spec,
        layers: Sequence[int] = (1, 1, 1),
        width: int = 16,
        stem: Stem = "auto",
        initialization: Initialization = "he",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Video)
        check_sizes(width=width)
        check_layers(**{f"layers[{stage}]": blocks for stage, blocks in enumerate(layers)})
        check_rate("dropout", dropout)
        if not layers:
            raise InputError("layers must give the number of blocks of at least one stage: [2, 2, 2, 2] is R3D-18")
        frame = Image(spec.input.channels, spec.input.height, spec.input.width)
        kernel, stride = ((3, 3, 3), 1) if stem_for(frame, stem) == "small" else ((3, 7, 7), (1, 2, 2))
        padding = (1, kernel[1] // 2, kernel[2] // 2)
        self.conv1 = nn.Conv3d(spec.input.channels, width, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        stages, in_channels = [], width
        for stage, count in enumerate(layers):
            channels = width * 2**stage
            blocks = [Block3d(in_channels, channels, stride=2 if stage else 1)]
            blocks += [Block3d(channels, channels, stride=1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            in_channels = channels
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(in_channels, self.outputs)
        initialize(self, initialization)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "batch frames channels height width"]
    ) -> Float[Tensor, "batch outputs"]:
        maps = self.stages(F.relu(self.bn1(self.conv1(inputs.transpose(1, 2)))))
        return self.head(self.dropout(maps.mean((-3, -2, -1))))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [[self.conv1, self.bn1], *([stage] for stage in self.stages), [self.head]]


class Block3d(nn.Module):
    """Two 3x3x3 convolutions with a shortcut connection."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv3d(in_channels, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(channels))

    def forward(
        self, x: Float[Tensor, "batch in_channels frames height width"]
    ) -> Float[Tensor, "batch channels f h w"]:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))
