"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.blocks import (
    Activation,
    Normalization,
    activation_layer,
    check_rate,
    check_sizes,
    normalization_layer,
)
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, Vector


class MLP(Model):
    """A multilayer perceptron: each hidden layer is linear, normalisation, activation, dropout
    (Rumelhart, Hinton and Williams 1986). Images are read as vectors.

    Args:
        spec: what the data set offers.
        hidden_sizes: the number of units in each hidden layer; none gives a linear model.
        activation: of the hidden layers.
        normalization: of the hidden layers.
        initialization: of the weights.
        dropout: the share of hidden units that is dropped in training (Srivastava et al. 2014).
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, a rate outside [0, 1) or an unknown name.
    """

    inputs = Vector | Image
    targets = Classes | Values

    def __init__(
        self,
        spec: Spec,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: Activation = "relu",
        normalization: Normalization = "none",
        initialization: Initialization = "default",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_rate("dropout", dropout)
        assert isinstance(spec.input, Vector | Image)
        layers: list[nn.Module] = []
        features = spec.input.size
        for size in hidden_sizes:
            check_sizes(hidden_sizes=size)
            layers += [
                nn.Linear(features, size),
                normalization_layer(normalization, size),
                activation_layer(activation),
            ]
            layers += [nn.Dropout(dropout)] if dropout else []
            features = size
        self.hidden = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        self.head = nn.Linear(features, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        return self.head(self.hidden(inputs.flatten(1)))
