"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.activations import Activation, activation_layer
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.normalization import Normalization, normalization_layer
from primer.models.layers.validation import check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, Vector


class MLP(Model):
    """A multilayer perceptron (Rumelhart, Hinton and Williams 1986). Each hidden layer is a linear layer followed by
    normalization, activation and dropout. Images are flattened.

    Args:
        spec: description of the data set.
        hidden_sizes: number of units of each hidden layer; an empty list gives a linear model.
        activation: activation function of the hidden layers.
        normalization: normalization of the hidden layers.
        initialization: weight initialization.
        dropout: dropout probability of the hidden units (Srivastava et al. 2014).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the dropout probability is outside [0, 1), or a name is unknown.
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
