"""AlexNet."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.blocks import check_rate, check_sizes, groups_after
from primer.models.layers.image_size import Stem, enlarged, stem_for, usable_sides
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

WINDOW = 3
"""Maximum pooling sees 3x3 pixels with stride 2, so that windows overlap."""

LARGEST_MAP = 6
"""The side to which the last maps are averaged at most: what an image of 224 pixels leaves."""


class AlexNet(Model):
    """AlexNet (Krizhevsky, Sutskever and Hinton 2012), in the form for one processor (Krizhevsky 2014, "One weird
    trick for parallelizing convolutional neural networks"): five convolutions, three of them followed by overlapping
    maximum pooling, then three full connections. The paper's dropout is 0.5.

    The published stem is a convolution of 11x11 pixels with stride 4, which at 224x224 leaves maps of 55x55. The one
    for images of up to 64 pixels is of 5x5 with stride 1. The other layers are the same.

    Args:
        spec: what the data set offers.
        stem: ``published``, ``small``, or by the size of the images.
        hidden_size: the units of each of the two hidden full connections.
        initialization: of the weights.
        dropout: the share of what enters each hidden full connection that is dropped in training.
        resize: whether images that are too small for the layers are padded or enlarged; False refuses them.
        objective: the loss and the metrics.

    Raises:
        ValueError: for an image that is too small, a size under 1, a rate outside [0, 1) or an unknown name.
    """

    inputs = Image
    targets = Classes | Values
    torchvision_names: ClassVar[dict[str, str]] = {"classifier.6.": "head."}

    def __init__(
        self,
        spec: Spec,
        stem: Stem = "auto",
        hidden_size: int = 4096,
        initialization: Initialization = "he",
        dropout: float = 0.0,
        resize: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        check_sizes(hidden_size=hidden_size)
        assert isinstance(spec.input, Image)
        kernel, stride, padding = STEMS[stem_for(spec.input, stem)]

        def maps(side: int) -> dict[str, int]:
            return map_sizes(side, kernel, stride, padding)

        self.least, sides = usable_sides("AlexNet", spec.input, maps, resize)
        height, width = (min(LARGEST_MAP, maps(side)["pool3"]) for side in sides)
        self.features = nn.Sequential(
            nn.Conv2d(spec.input.channels, 64, kernel, stride, padding),
            nn.ReLU(),
            nn.MaxPool2d(WINDOW, 2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(WINDOW, 2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(WINDOW, 2),
        )
        self.average = nn.AdaptiveAvgPool2d((height, width))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * height * width, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
        )
        self.head = nn.Linear(hidden_size, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.average(self.features(enlarged(inputs, self.least)))
        return self.head(self.classifier(maps.flatten(1)))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*groups_after(self.features, nn.MaxPool2d), [self.classifier], [self.head]]

    @classmethod
    def torchvision_name(cls, hidden_size: int = 4096, **_: object) -> str | None:
        return "alexnet" if hidden_size == 4096 else None


STEMS = {"published": (11, 4, 2), "small": (5, 1, 2)}
"""Kernel size, stride and padding of the first convolution."""


def map_sizes(side: int, kernel: int, stride: int, padding: int) -> dict[str, int]:
    """The side of the maps after the layers that shrink them, from that of the image."""
    sizes = {"conv1": convolved_size(side, kernel, stride, padding)}
    last = sizes["conv1"]
    for name in ("pool1", "pool2", "pool3"):
        last = sizes[name] = convolved_size(last, WINDOW, stride=2)
    return sizes
