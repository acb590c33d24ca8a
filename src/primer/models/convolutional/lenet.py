"""LeNet-5."""

from __future__ import annotations

from itertools import groupby
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.blocks import Activation, Normalization, activation_layer, check_rate, normalization_layer
from primer.models.layers.image_size import enlarged, usable_sides
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

KERNEL, POOL = 5, 2
"""The convolutions see 5x5 pixels, the subsampling layers 2x2."""

FIELD = 32
"""The pixels that the network sees in each direction."""

CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""The maps of S2 that each of the 16 maps of C3 sees: table I of the paper."""


class LeNet(Model):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, section II.B): two convolutions with subsampling between them,
    then full connections.

    At 32x32 pixels the layers are C1 6@28x28, S2 6@14x14, C3 16@10x10, S4 16@5x5, C5 120, F6 84. An image with a side
    under 28 is enlarged (bilinearly), a side from 28 to 31 is padded to 32 by repeating the edge, as the paper does
    with the background of the 28x28 digits; larger images are taken as they are, and C5 sees all of S4.

    ``classic`` is the paper's network: subsampling is an average times a trainable coefficient plus a bias, C3 sees
    S2 through table I, and each layer is squashed by 1.7159 tanh(2x/3). One thing differs: a linear output layer in
    place of distances to fixed bitmaps, as cross-entropy wants it. ``modern`` is what the name usually means today:
    maximum pooling, full connections, ReLU.

    Args:
        spec: what the data set offers.
        variant: ``classic`` or ``modern``.
        activation: of all layers but the last; None for the variant's own.
        normalization: of C1, C3, C5 and F6, before the activation.
        initialization: of the weights.
        dropout: the share of the units of C5 and F6 that is dropped in training.
        resize: whether images under 32x32 are enlarged or padded; False takes any image as it is.
        objective: the loss and the metrics.

    Raises:
        ValueError: for an image that is too small for the layers, a rate outside [0, 1) or an unknown name.
    """

    inputs = Image
    targets = Classes | Values

    def __init__(
        self,
        spec: Spec,
        variant: Literal["classic", "modern"] = "modern",
        activation: Activation | None = None,
        normalization: Normalization = "none",
        initialization: Initialization = "default",
        dropout: float = 0.0,
        resize: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        if variant not in ("classic", "modern"):
            raise InputError(f"variant must be classic or modern, not {variant!r}")
        check_rate("dropout", dropout)
        assert isinstance(spec.input, Image)
        classic, image = variant == "classic", spec.input
        self.least, sides = usable_sides("LeNet", image, map_sizes, resize, FIELD)
        features = 16 * map_sizes(sides[0])["S4"] * map_sizes(sides[1])["S4"]

        def layer(weights: nn.Module, size: int, flat: bool = False) -> nn.Sequential:
            parts = [weights, normalization_layer(normalization, size, image=not flat), squash()]
            return nn.Sequential(*parts, *([nn.Dropout(dropout)] if flat and dropout else []))

        def squash() -> nn.Module:
            if activation is not None:
                return activation_layer(activation)
            return ScaledTanh() if classic else nn.ReLU()

        def subsampling(maps: int) -> nn.Module:
            return nn.Sequential(Subsampling(maps), squash()) if classic else nn.MaxPool2d(POOL)

        self.c1 = layer(nn.Conv2d(image.channels, 6, KERNEL), 6)
        self.s2 = subsampling(6)
        self.c3 = layer(PartialConv2d(CONNECTIONS, KERNEL) if classic else nn.Conv2d(6, 16, KERNEL), 16)
        self.s4 = subsampling(16)
        self.c5 = layer(nn.Linear(features, 120), 120, flat=True)
        self.f6 = layer(nn.Linear(120, 84), 84, flat=True)
        self.head = nn.Linear(84, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.s4(self.c3(self.s2(self.c1(enlarged(inputs, self.least)))))
        return self.head(self.f6(self.c5(maps.flatten(1))))


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1 (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """The average of 2x2 pixels times a coefficient plus a bias, both trainable and one for each map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch maps h w"]:
        return F.avg_pool2d(x, POOL) * self.coefficient.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class PartialConv2d(nn.Module):
    """A convolution each of whose maps sees only some of the maps before it.

    There are weights for the connections alone: maps that see equally many lie side by side as in a grouped
    convolution. To compute, they are put among zeros, which is much faster than grouped convolutions are.

    Args:
        connections: for each map of the output, the maps of the input that it sees, in ascending order.
        kernel_size: of the convolution.
    """

    places: Tensor

    def __init__(self, connections: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        self.maps = max(max(seen) for seen in connections) + 1
        self.groups = nn.ModuleList()
        for width, alike in groupby(connections, key=len):
            maps = len(list(alike))
            self.groups.append(nn.Conv2d(maps * width, maps, kernel_size, groups=maps))
        places = [row * self.maps + column for row, seen in enumerate(connections) for column in seen]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch more h w"]:
        groups: list[nn.Conv2d] = list(self.groups)  # type: ignore[assignment]
        kernels = torch.cat([group.weight.flatten(0, 1) for group in groups])
        bias = torch.cat([parameter for group in groups if (parameter := group.bias) is not None])
        zeros = kernels.new_zeros(len(bias) * self.maps, *kernels.shape[1:])
        weight = zeros.index_copy(0, self.places, kernels).unflatten(0, (len(bias), self.maps))
        return F.conv2d(x, weight, bias)


def map_sizes(side: int) -> dict[str, int]:
    """The side of the maps of each layer, from that of the image."""
    c1 = convolved_size(side, KERNEL)
    s2 = convolved_size(c1, POOL, stride=POOL)
    c3 = convolved_size(s2, KERNEL)
    return {"C1": c1, "S2": s2, "C3": c3, "S4": convolved_size(c3, POOL, stride=POOL)}
