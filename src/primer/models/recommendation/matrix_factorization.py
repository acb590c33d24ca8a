"""Matrix factorization."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.spec import Interactions, Spec, Values

INITIAL_STD = 0.1
"""The standard deviation of the initial factors."""


class MatrixFactorization(Model):
    r"""Biases and factors of users and items (Koren, Bell and Volinsky, "Matrix factorization techniques for
    recommender systems", 2009, equation 4):

    .. math::
        \hat r_{ui} = \mu + b_u + b_i + p_u \cdot q_i

    A user or an item that does not occur in the training part has a bias and factors of 0, so that its ratings are
    predicted from the bias of the other one.

    Args:
        spec: description of the data set.
        factors: size of :math:`p_u` and :math:`q_i`.
        user_decay, item_decay, bias_decay: coefficients of the squared factors of users, those of items, and the
            biases, which are added to the loss in training as L2 regularization is.
        objective: the loss and the metrics.

    Attributes:
        users, items: factors.
        user_biases, item_biases: biases.

    Raises:
        InputError: if ``factors`` is less than 1, a decay is negative, or the objective has several outputs.
    """

    inputs = Interactions
    targets = Values

    def __init__(
        self,
        spec: Spec,
        factors: int = 32,
        user_decay: float = 0.0,
        item_decay: float = 0.0,
        bias_decay: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Interactions)
        check_sizes(factors=factors)
        for name, decay in (("user_decay", user_decay), ("item_decay", item_decay), ("bias_decay", bias_decay)):
            if not 0 <= decay < math.inf:
                raise InputError(f"{name} must be finite and at least 0, not {decay}")
        check_one_rating(self)
        users, items = len(spec.input.users), len(spec.input.items)
        self.users, self.items = embed(users, factors, INITIAL_STD), embed(items, factors, INITIAL_STD)
        self.user_biases, self.item_biases = embed(users, 1), embed(items, 1)
        self.decays = {"users": user_decay, "items": item_decay, "user_biases": bias_decay, "item_biases": bias_decay}

    def forward(
        self, inputs: Int[Tensor, "batch 2"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch 1"]:
        """Returns standardized ratings of pairs of a user and an item."""
        user, item = inputs.unbind(1)
        products = (self.users(user) * self.items(item)).sum(1, keepdim=True)
        return products + self.user_biases(user) + self.item_biases(item)

    def item_vectors(self) -> Float[Tensor, "items factors"]:
        return self.items.weight

    def penalty(self, part: nn.Module | None = None) -> Tensor:
        terms = super().penalty(part)
        for name, decay in self.decays.items():
            if decay:
                terms = terms + decay / 2 * self.get_parameter(f"{name}.weight").square().sum()
        return terms

    @property
    def has_penalty(self) -> bool:
        return super().has_penalty or any(self.decays.values())

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not isinstance(spec.input, Interactions):
            return {}
        users, items = spec.input.users, spec.input.items
        return {
            "users.weight": users, "user_biases.weight": users, "items.weight": items, "item_biases.weight": items
        }  # fmt: skip


def check_one_rating(model: Model) -> None:
    """Raises ``InputError`` if the objective of a model that predicts a rating has several outputs."""
    if model.outputs != 1:
        raise InputError(
            f"{type(model).__name__} predicts one rating, but {type(model.objective).__name__} needs {model.outputs} "
            "outputs: use objective=mse, mae or huber"
        )


def embed(size: int, features: int, std: float = 0.0) -> nn.Embedding:
    """Returns an embedding of users or items, normally distributed, whose first row, for unseen ones, stays 0."""
    layer = nn.Embedding(size, features, padding_idx=0)
    with torch.no_grad():
        layer.weight.normal_(std=std) if std else layer.weight.zero_()
        layer.weight[0] = 0
    return layer
