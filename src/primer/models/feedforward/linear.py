"""Linear models: the perceptron, linear regression and logistic regression."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.blocks import check_rate
from primer.models.layers.initialization import Initialization, initialize
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, Vector


class Linear(Model):
    r"""One linear layer, :math:`\hat{y} = W x + b`, on standardised inputs. Images are read as vectors.

    The objective makes it one of the classic models:

    - ``mse`` (the default for values): linear regression by least squares (Legendre 1805); with
      ``regularization.l2`` ridge regression, with ``regularization.l1`` the lasso (Tibshirani 1996).
    - ``mae``, ``huber``: regression that outliers move less; ``gaussian_nll``: with a variance for each prediction.
    - ``bce``: logistic regression for two classes (Cox 1958), one unit whose output is the log-odds of the second
      class. Its decision, whether the sum is positive, is the perceptron's (Rosenblatt 1958).
    - ``cross_entropy`` (the default for classes): multinomial logistic, or softmax, regression.

    Args:
        spec: what the data set offers.
        initialization: of the weights. Zeros do no harm where there are no hidden units to stay the same, and no class
            is preferred at the start.
        dropout: the share of inputs that is dropped in training (Srivastava et al. 2014).
        objective: the loss and the metrics.

    Raises:
        ValueError: for a rate outside [0, 1) or an unknown initialisation.
    """

    inputs = Vector | Image
    targets = Classes | Values

    def __init__(
        self,
        spec: Spec,
        initialization: Initialization = "zeros",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Vector | Image)
        self.dropout = nn.Dropout(check_rate("dropout", dropout))
        self.head = nn.Linear(spec.input.size, self.outputs)
        initialize(self, initialization)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        return self.head(self.dropout(inputs.flatten(1)))
