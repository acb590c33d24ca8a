"""Linear models: the perceptron, linear regression and logistic regression."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.validation import check_rate
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values, Vector


class Linear(Model):
    r"""One linear layer, :math:`\hat{y} = W x + b`, on standardized inputs. Images are flattened.

    The objective turns it into one of the classic models:

    - ``mse`` (the default for values): linear regression by least squares (Legendre 1805); with
      ``regularization.l2`` ridge regression, with ``regularization.l1`` the lasso (Tibshirani 1996).
    - ``mae``, ``huber``: regression that is robust to outliers; ``gaussian_nll``: with a predicted variance.
    - ``bce``: binary logistic regression (Cox 1958), a single unit whose output is the log-odds of the second class.
      Its decision rule, whether the output is positive, is that of the perceptron (Rosenblatt 1958).
    - ``cross_entropy`` (the default for classes): multinomial logistic regression, also called softmax regression.

    Args:
        spec: description of the data set.
        initialization: weight initialization. Zeros are harmless without hidden units, since there is no symmetry to
            break, and favor no class initially.
        dropout: dropout probability of the inputs (Srivastava et al. 2014).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if the dropout probability is outside [0, 1) or the initialization is unknown.
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
