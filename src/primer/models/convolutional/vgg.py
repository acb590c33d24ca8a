"""VGG."""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.blocks import Normalization, check_rate, check_sizes, groups_after, normalization_layer
from primer.models.layers.image_size import enlarged, usable_sides
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

CHANNELS = (64, 128, 256, 512, 512)
"""Of the convolutions of each block."""

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many each block has, for each depth: columns A, B, D and E of table 1 of the paper."""

LARGEST_MAP = 7
"""The side to which the last maps are averaged at most: what an image of 224 pixels leaves."""


class VGG(Model):
    """VGG (Simonyan and Zisserman 2015): five blocks of convolutions of 3x3 pixels, each block followed by maximum
    pooling, then three full connections. The paper's dropout is 0.5.

    There is no stem to adapt: an image of 224 pixels leaves maps of 7x7, one of 32 pixels leaves single pixels, and
    the full connections are as wide as what is left.

    Args:
        spec: what the data set offers.
        depth: how many layers have weights: 11, 13, 16 or 19.
        normalization: of the convolutions; ``batch`` came after the paper, and makes it train without its tricks.
        hidden_size: the units of each of the two hidden full connections.
        initialization: of the weights.
        dropout: the share of the units of each hidden full connection that is dropped in training.
        resize: whether images under 32x32 are padded (from 28 pixels on) or enlarged; False refuses them.
        objective: the loss and the metrics.

    Raises:
        ValueError: for another depth, an image that is too small, a size under 1, a rate outside [0, 1) or an
            unknown name.
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
        self.least, sides = usable_sides("VGG", spec.input, map_sizes, resize)
        layers: list[nn.Module] = []
        before = spec.input.channels
        for channels, convolutions in zip(CHANNELS, CONVOLUTIONS[depth], strict=True):
            for _ in range(convolutions):
                layers.append(nn.Conv2d(before, channels, kernel_size=3, padding=1))
                layers += [] if normalization == "none" else [normalization_layer(normalization, channels, image=True)]
                layers.append(nn.ReLU())
                before = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        height, width = (min(LARGEST_MAP, map_sizes(side)["pool5"]) for side in sides)
        self.average = nn.AdaptiveAvgPool2d((height, width))
        self.classifier = nn.Sequential(
            nn.Linear(before * height * width, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden_size, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.average(self.features(enlarged(inputs, self.least)))
        return self.head(self.classifier(maps.flatten(1)))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*groups_after(self.features, nn.MaxPool2d), [self.classifier], [self.head]]

    @classmethod
    def torchvision_name(
        cls, depth: int = 16, normalization: str = "none", hidden_size: int = 4096, **_: object
    ) -> str | None:
        known = depth in CONVOLUTIONS and normalization in ("none", "batch") and hidden_size == 4096
        return f"vgg{depth}{'_bn' if normalization == 'batch' else ''}" if known else None


def map_sizes(side: int) -> dict[str, int]:
    """The side of the maps after each pooling, from that of the image; the convolutions keep it."""
    sizes = {}
    for block in range(1, 6):
        side = sizes[f"pool{block}"] = convolved_size(side, kernel_size=2, stride=2)
    return sizes
