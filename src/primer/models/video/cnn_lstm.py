"""A convolutional network over frames, and an LSTM over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.validation import check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Spec, Values, Video

GRID = 8
"""The largest side of the feature maps of a frame. They keep where something is, since motion is a change of place."""


class CNNLSTM(Model):
    """A long-term recurrent convolutional network (Donahue et al. 2015): the same convolutional network reads each
    frame, an LSTM reads their features in order, and a linear layer reads its last state.

    The paper gives the network optical flow besides the colors. Here, the difference from the frame before takes its
    place, as further channels of each frame.

    Each convolution is followed by a normalization, ReLU, and max pooling with stride 2 as long as the maps are larger
    than 8x8; if they still are in the end, they are averaged to 8x8.

    Args:
        spec: description of the data set.
        channels: output channels of each 3x3 convolution.
        frame_size: number of features of a frame.
        hidden_size: size of the state of the LSTM.
        num_layers: number of stacked LSTM layers.
        differences: whether the differences from the frame before are an input, too.
        normalization: normalization after each convolution.
        dropout: dropout probability of the features of a frame and of the last state.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, there is no convolution, a name is unknown, or the dropout probability is
            outside [0, 1).
    """

    inputs = Video
    targets = Classes | Values

    def __init__(
        self,
        spec: Spec,
        channels: Sequence[int] = (16, 32, 32),
        frame_size: int = 128,
        hidden_size: int = 64,
        num_layers: int = 1,
        differences: bool = True,
        normalization: Normalization = "batch",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Video)
        if not channels:
            raise InputError("channels must have an entry for at least one convolution")
        check_sizes(frame_size=frame_size, hidden_size=hidden_size)
        check_sizes(**{f"channels[{k}]": size for k, size in enumerate(channels)})
        check_layers(num_layers=num_layers)
        check_rate("dropout", dropout)
        sides, layers = [spec.input.height, spec.input.width], []
        self.differences = differences
        for before, after in pairwise((spec.input.channels * (2 if differences else 1), *channels)):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                normalization_layer(normalization, after, image=True),
                nn.ReLU(),
            ]
            if min(sides) > GRID:
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
        sides = [min(side, GRID) for side in sides]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((sides[0], sides[1])))
        self.frame = nn.Linear(channels[-1] * sides[0] * sides[1], frame_size)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(frame_size, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, self.outputs)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "batch frames channels height width"]
    ) -> Float[Tensor, "batch outputs"]:
        if self.differences:
            before = torch.cat([inputs[:, :1], inputs[:, :-1]], 1)
            inputs = torch.cat([inputs, inputs - before], 2)
        maps = self.convolutions(inputs.flatten(0, 1))
        features = self.dropout(self.frame(maps.flatten(1)).relu()).unflatten(0, inputs.shape[:2])
        states, _ = self.lstm(features)
        return self.head(self.dropout(states[:, -1]))
