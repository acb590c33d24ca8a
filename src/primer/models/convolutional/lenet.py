"""LeNet-5."""

from __future__ import annotations

from itertools import groupby
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.activations import Activation, activation_layer
from primer.models.layers.image_size import pad_or_enlarge, resolve_input_size
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.validation import check_choice, check_rate
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, convolved_size

KERNEL, POOL = 5, 2
"""Kernel sizes of the convolutions (5x5) and the subsampling layers (2x2)."""

INPUT_SIDE = 32
"""Side of the input images in the paper."""

CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""The feature maps of S2 that are connected to each of the 16 feature maps of C3: table I of the paper."""


class LeNet(Model):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998, section II.B): two convolutions, each followed by subsampling,
    then fully connected layers.

    For 32x32 images the layers are C1 6@28x28, S2 6@14x14, C3 16@10x10, S4 16@5x5, C5 120, F6 84. Images with a side
    of less than 28 pixels are enlarged by bilinear interpolation. Sides of 28 to 31 pixels are padded to 32 by
    repeating the edge, as the paper does with the background of the 28x28 digits. Larger images are not resized, and
    C5 is connected to all of S4.

    ``classic`` is the network of the paper: subsampling is an average times a trainable coefficient plus a bias, C3 is
    connected to S2 by table I, and the activation is 1.7159 tanh(2x/3). The one difference is a linear output layer
    instead of distances to fixed bitmaps, as required by cross-entropy. ``modern`` is what the name usually means
    today: max pooling, full connections between C3 and S2, and ReLU.

    Args:
        spec: description of the data set.
        variant: ``classic`` or ``modern``.
        activation: activation function of all layers but the last; None uses that of the variant.
        normalization: normalization of C1, C3, C5 and F6, before the activation.
        initialization: weight initialization.
        dropout: dropout probability of the units of C5 and F6.
        resize: whether to pad or enlarge images smaller than 32x32.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if an image is too small for the layers, the dropout probability is outside [0, 1), or a name is
            unknown.
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
        check_choice("variant", variant, ("classic", "modern"))
        check_rate("dropout", dropout)
        assert isinstance(spec.input, Image)
        classic, image = variant == "classic", spec.input
        self.min_side, sides = resolve_input_size("LeNet", image, map_sizes, resize, INPUT_SIDE)
        features = 16 * map_sizes(sides[0])["S4"] * map_sizes(sides[1])["S4"]

        def layer(weights: nn.Module, size: int, flat: bool = False) -> nn.Sequential:
            parts = [weights, normalization_layer(normalization, size, image=not flat), make_activation()]
            return nn.Sequential(*parts, *([nn.Dropout(dropout)] if flat and dropout else []))

        def make_activation() -> nn.Module:
            if activation is not None:
                return activation_layer(activation)
            return ScaledTanh() if classic else nn.ReLU()

        def subsampling(maps: int) -> nn.Module:
            return nn.Sequential(Subsampling(maps), make_activation()) if classic else nn.MaxPool2d(POOL)

        self.c1 = layer(nn.Conv2d(image.channels, 6, KERNEL), 6)
        self.s2 = subsampling(6)
        self.c3 = layer(PartialConv2d(CONNECTIONS, KERNEL) if classic else nn.Conv2d(6, 16, KERNEL), 16)
        self.s4 = subsampling(16)
        self.c5 = layer(nn.Linear(features, 120), 120, flat=True)
        self.f6 = layer(nn.Linear(120, 84), 84, flat=True)
        self.head = nn.Linear(84, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        maps = self.s4(self.c3(self.s2(self.c1(pad_or_enlarge(inputs, self.min_side)))))
        return self.head(self.f6(self.c5(maps.flatten(1))))


class ScaledTanh(nn.Module):
    """Computes 1.7159 tanh(2x/3), which maps 1 to 1 and -1 to -1 (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps a tensor of any shape elementwise."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """Averages 2x2 pixels, then applies a trainable coefficient and bias per feature map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch maps h w"]:
        return F.avg_pool2d(x, POOL) * self.coefficient.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class PartialConv2d(nn.Module):
    """A convolution whose output maps are each connected to a subset of the input maps.

    Only existing connections have weights, stored as grouped convolutions: one for each run of output maps with the
    same number of inputs. The forward pass scatters them into a dense kernel of zeros, which is much faster than
    running the grouped convolutions.

    Args:
        connections: for each output map, the indices of its input maps in ascending order.
        kernel_size: kernel size.
    """

    kernel_indices: Tensor

    def __init__(self, connections: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        self.in_channels = max(max(inputs) for inputs in connections) + 1
        self.groups = nn.ModuleList()
        for num_inputs, run in groupby(connections, key=len):
            maps = len(list(run))
            self.groups.append(nn.Conv2d(maps * num_inputs, maps, kernel_size, groups=maps))
        indices = [out * self.in_channels + index for out, inputs in enumerate(connections) for index in inputs]
        self.register_buffer("kernel_indices", torch.tensor(indices), persistent=False)

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch out_maps h w"]:
        groups: list[nn.Conv2d] = list(self.groups)  # type: ignore[assignment]
        kernels = torch.cat([group.weight.flatten(0, 1) for group in groups])
        bias = torch.cat([parameter for group in groups if (parameter := group.bias) is not None])
        zeros = kernels.new_zeros(len(bias) * self.in_channels, *kernels.shape[1:])
        weight = zeros.index_copy(0, self.kernel_indices, kernels).unflatten(0, (len(bias), self.in_channels))
        return F.conv2d(x, weight, bias)


def map_sizes(side: int) -> dict[str, int]:
    """Maps the side of an image to the side of the feature maps of each layer."""
    c1 = convolved_size(side, KERNEL)
    s2 = convolved_size(c1, POOL, stride=POOL)
    c3 = convolved_size(s2, KERNEL)
    return {"C1": c1, "S2": s2, "C3": c3, "S4": convolved_size(c3, POOL, stride=POOL)}
