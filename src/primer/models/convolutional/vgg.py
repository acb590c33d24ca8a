"""VGG."""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.image_size import pad_or_enlarge, resolve_input_size
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.sequential import split_after
from primer.models.layers.validation import check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

CHANNELS = (64, 128, 256, 512, 512)
"""Number of channels of each block."""

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Number of convolutions of each block, by depth: columns A, B, D and E of table 1 of the paper."""

MAX_POOLED_SIDE = 7
"""Maximum side of the feature maps after average pooling: that of a 224x224 image."""


class VGG(Model):
    """VGG (Simonyan and Zisserman 2015): five blocks of 3x3 convolutions, each followed by max pooling, then three
    fully connected layers. The paper uses a dropout of 0.5.

    There is no stem to adapt. The last feature maps are 7x7 for 224x224 images and 1x1 for 32x32 images, and the
    fully connected layers match their size.

    Args:
        spec: description of the data set.
        depth: number of layers with weights: 11, 13, 16 or 19.
        normalization: normalization after each convolution; ``batch`` postdates the paper, and trains without the
            paper's tricks.
        hidden_size: number of units of each of the two hidden fully connected layers.
        initialization: weight initialization.
        dropout: dropout probability of the units of each hidden fully connected layer.
        resize: whether to pad (from 28 pixels on) or enlarge images smaller than 32x32; otherwise they are an error.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if the depth or a name is unknown, an image is too small, a size is less than 1, or the dropout
            probability is outside [0, 1).
    """

    inputs = Image
    targets = Classes | Values
    torchvision_names: ClassVar[dict[str, str]] = {"classifier.6.": "head."}

    def __init__(
        self,
        spec: Spec,
        depth: Literal[11, 13, 16, 19] = 16,
        normalization: Normalization = "none",
        hidden_size: int = 4096,
        initialization: Initialization = "he",
        dropout: float = 0.0,
        resize: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        check_sizes(hidden_size=hidden_size)
        if depth not in CONVOLUTIONS:
            raise InputError(f"depth must be one of {', '.join(map(str, CONVOLUTIONS))}, not {depth}")
        assert isinstance(spec.input, Image)
        self.min_side, sides = resolve_input_size("VGG", spec.input, map_sizes, resize)
        layers: list[nn.Module] = []
        in_channels = spec.input.channels
        for channels, convolutions in zip(CHANNELS, CONVOLUTIONS[depth], strict=True):
            for _ in range(convolutions):
                layers.append(nn.Conv2d(in_channels, channels, kernel_size=3, padding=1))
                layers += [] if normalization == "none" else [normalization_layer(normalization, channels, image=True)]
                layers.append(nn.ReLU())
                in_channels = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        height, width = (min(MAX_POOLED_SIDE, map_sizes(side)["pool5"]) for side in sides)
        self.average = nn.AdaptiveAvgPool2d((height, width))
        self.classifier = nn.Sequential(
            nn.Linear(in_channels * height * width, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden_size, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.average(self.features(pad_or_enlarge(inputs, self.min_side)))
        return self.head(self.classifier(maps.flatten(1)))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*split_after(self.features, nn.MaxPool2d), [self.classifier], [self.head]]

    @classmethod
    def torchvision_name(
        cls, depth: int = 16, normalization: str = "none", hidden_size: int = 4096, **_: object
    ) -> str | None:
        published = depth in CONVOLUTIONS and normalization in ("none", "batch") and hidden_size == 4096
        return f"vgg{depth}{'_bn' if normalization == 'batch' else ''}" if published else None


def map_sizes(side: int) -> dict[str, int]:
    """Maps the side of an image to the side of the feature maps after each pooling; convolutions preserve it."""
    sizes = {}
    for block in range(1, 6):
        side = sizes[f"pool{block}"] = convolved_size(side, kernel_size=2, stride=2)
    return sizes
