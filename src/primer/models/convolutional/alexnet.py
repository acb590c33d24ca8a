"""AlexNet."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.image_size import Stem, pad_or_enlarge, resolve_input_size, stem_for
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.sequential import split_after
from primer.models.layers.validation import check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

POOL = 3
"""Kernel size of the max pooling layers. The stride is 2, so that windows overlap."""

MAX_POOLED_SIDE = 6
"""Maximum side of the feature maps after average pooling: that of a 224x224 image."""


class AlexNet(Model):
    """AlexNet (Krizhevsky, Sutskever and Hinton 2012), in the single-GPU version (Krizhevsky 2014, "One weird trick
    for parallelizing convolutional neural networks"): five convolutions, three of them followed by overlapping max
    pooling, then three fully connected layers. The paper uses a dropout of 0.5.

    The published stem is an 11x11 convolution with stride 4, which maps 224x224 images to 55x55 feature maps. The stem
    for images of up to 64 pixels is a 5x5 convolution with stride 1. The other layers are identical.

    Args:
        spec: description of the data set.
        stem: ``published``, ``small``, or ``auto``, which chooses by the size of the images.
        hidden_size: number of units of each of the two hidden fully connected layers.
        initialization: weight initialization.
        dropout: dropout probability of the inputs of each hidden fully connected layer.
        resize: whether to pad or enlarge images that are too small for the layers; otherwise they are an error.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if an image is too small, a size is less than 1, the dropout probability is outside [0, 1), or a
            name is unknown.
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

        def sizes(side: int) -> dict[str, int]:
            return map_sizes(side, kernel, stride, padding)

        self.min_side, sides = resolve_input_size("AlexNet", spec.input, sizes, resize)
        height, width = (min(MAX_POOLED_SIDE, sizes(side)["pool3"]) for side in sides)
        self.features = nn.Sequential(
            nn.Conv2d(spec.input.channels, 64, kernel, stride, padding),
            nn.ReLU(),
            nn.MaxPool2d(POOL, 2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(POOL, 2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(POOL, 2),
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
        maps = self.average(self.features(pad_or_enlarge(inputs, self.min_side)))
        return self.head(self.classifier(maps.flatten(1)))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [*split_after(self.features, nn.MaxPool2d), [self.classifier], [self.head]]

    @classmethod
    def torchvision_name(cls, hidden_size: int = 4096, **_: object) -> str | None:
        return "alexnet" if hidden_size == 4096 else None


STEMS = {"published": (11, 4, 2), "small": (5, 1, 2)}
"""Kernel size, stride and padding of the first convolution."""


def map_sizes(side: int, kernel: int, stride: int, padding: int) -> dict[str, int]:
    """Maps the side of an image to the side of the feature maps after each layer that shrinks them."""
    side = convolved_size(side, kernel, stride, padding)
    sizes = {"conv1": side}
    for name in ("pool1", "pool2", "pool3"):
        side = sizes[name] = convolved_size(side, POOL, stride=2)
    return sizes
