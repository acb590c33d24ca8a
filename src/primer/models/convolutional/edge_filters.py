"""Fixed edge filters, and a linear model on what they find."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.validation import check_rate
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values

SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
DIAGONAL = ((-2, -1, 0), (-1, 0, 1), (0, 1, 2))
LAPLACIAN = ((0, 1, 0), (1, -4, 1), (0, 1, 0))

POOL = 2
"""Size of the pooling windows (2x2)."""


class EdgeFilters(Model):
    """Convolves images with edge filters that were designed rather than learned, and applies a linear model to the
    average strength of the edges in each 2x2 window.

    The filters are those of Sobel (1968), which respond to vertical, horizontal and both kinds of diagonal edges, and
    the Laplacian, which responds to edges of any direction, lines and points. They are what the first layer of a
    convolutional network often comes close to. Each filter is applied to the mean of the channels. With an image of
    height H and width W, 5 maps of HxW are reduced to 5 maps of H/2xW/2, rounded up.

    Args:
        spec: description of the data set.
        initialization: weight initialization of the linear model.
        dropout: dropout probability of the pooled edges.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if the dropout probability is outside [0, 1), or a name is unknown.
    """

    inputs = Image
    targets = Classes | Values

    def __init__(
        self, spec: Spec, initialization: Initialization = "default", dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:  # fmt: skip
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        assert isinstance(spec.input, Image)
        self.edges = FixedConv2d(edge_kernels(), spec.input.channels)
        self.dropout = nn.Dropout(dropout)
        sides = [-(-side // POOL) for side in (spec.input.height, spec.input.width)]
        self.head = nn.Linear(len(self.edges.weight) * sides[0] * sides[1], self.outputs)
        initialize(self.head, initialization)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        strength = self.edges(inputs).abs()
        return self.head(self.dropout(F.avg_pool2d(strength, POOL, ceil_mode=True).flatten(1)))


class FixedConv2d(nn.Conv2d):
    """A convolution with constant kernels, applied to the mean of the channels. Pixels beyond the border repeat those
    at the border, where there would be an edge otherwise.

    Args:
        kernels: the kernels, of odd height and width.
        channels: number of channels of the images.
    """

    def __init__(self, kernels: Float[Tensor, "maps height width"], channels: int) -> None:
        height, width = kernels.shape[1:]
        padding = (height // 2, width // 2)
        super().__init__(channels, len(kernels), (height, width), padding=padding, padding_mode="replicate", bias=False)
        del self.weight  # A buffer instead of a parameter: neither trained, decayed nor unfrozen.
        self.register_buffer("weight", kernels.unsqueeze(1).repeat(1, channels, 1, 1) / channels, persistent=False)


def edge_kernels() -> Float[Tensor, "5 3 3"]:
    """Returns the filters, scaled so that an edge between 0 and 1 has a response of 1: Sobel's for vertical, horizontal
    and diagonal edges, then the Laplacian."""
    sobel, diagonal, laplacian = (torch.tensor(rows, dtype=torch.float) for rows in (SOBEL, DIAGONAL, LAPLACIAN))
    return torch.stack([sobel / 4, sobel.T / 4, diagonal / 4, diagonal.flip(1) / 4, laplacian])
