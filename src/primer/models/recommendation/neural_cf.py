"""Neural collaborative filtering."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.validation import check_rate, check_sizes
from primer.models.recommendation.matrix_factorization import INITIAL_STD, check_one_rating, embed
from primer.objectives import Objective
from primer.spec import Interactions, Spec, Values


class NeuralCF(Model):
    r"""NeuMF: products of the factors of a user and an item, beside a multilayer perceptron of both, with factors of
    their own (He et al., "Neural collaborative filtering", 2017, equation 12):

    .. math::
        \hat r_{ui} = h^\top [\, p_u \odot q_i,\; \mathrm{MLP}(p'_u, q'_i) \,]

    The paper predicts whether a user and an item interact; here, the output is a rating. A user or an item that does
    not occur in the training part has factors of 0.

    Args:
        spec: description of the data set.
        factors: size of :math:`p_u` and :math:`q_i`.
        mlp_factors: size of :math:`p'_u` and :math:`q'_i`.
        hidden_sizes: sizes of the hidden layers of the perceptron, in the paper half of the one before.
        dropout: dropout probability of the inputs and of the hidden layers of the perceptron.
        objective: the loss and the metrics.

    Attributes:
        users, items: factors.
        mlp_users, mlp_items: factors that the perceptron reads.

    Raises:
        InputError: if a size is less than 1, there is no hidden layer, the dropout probability is outside [0, 1), or
            the objective has several outputs.
    """

    inputs = Interactions
    targets = Values

    def __init__(
        self,
        spec: Spec,
        factors: int = 16,
        mlp_factors: int = 32,
        hidden_sizes: Sequence[int] = (64, 32, 16),
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Interactions)
        check_sizes(factors=factors, mlp_factors=mlp_factors, **{"the number of hidden_sizes": len(hidden_sizes)})
        check_sizes(**{f"hidden_sizes[{k}]": size for k, size in enumerate(hidden_sizes)})
        check_rate("dropout", dropout)
        check_one_rating(self)
        users, items = len(spec.input.users), len(spec.input.items)
        self.users, self.items = embed(users, factors, INITIAL_STD), embed(items, factors, INITIAL_STD)
        self.mlp_users, self.mlp_items = embed(users, mlp_factors, INITIAL_STD), embed(items, mlp_factors, INITIAL_STD)
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for size, following in zip((2 * mlp_factors, *hidden_sizes), hidden_sizes, strict=False):
            layers += [nn.Linear(size, following), nn.ReLU(), nn.Dropout(dropout)]
        self.mlp = nn.Sequential(*layers)
        self.head = nn.Linear(factors + hidden_sizes[-1], 1)

    def forward(
        self, inputs: Int[Tensor, "batch 2"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch 1"]:
        """Returns standardized ratings of pairs of a user and an item."""
        user, item = inputs.unbind(1)
        products = self.users(user) * self.items(item)
        hidden = self.mlp(torch.cat([self.mlp_users(user), self.mlp_items(item)], 1))
        return self.head(torch.cat([products, hidden], 1))

    def item_vectors(self) -> Float[Tensor, "items factors"]:
        return torch.cat([self.items.weight, self.mlp_items.weight], 1)

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not isinstance(spec.input, Interactions):
            return {}
        users, items = spec.input.users, spec.input.items
        return {
            "users.weight": users, "mlp_users.weight": users, "items.weight": items, "mlp_items.weight": items
        }  # fmt: skip
