"""Biases of users and items: the usual baseline of rating prediction."""

from __future__ import annotations

import torch
from torch import Tensor

SHRINKAGE = 15.0, 10.0
"""The number of average ratings that each user and each item has in addition to its own, as in the library Surprise."""
SWEEPS = 10
"""The number of times that the biases of items and of users are fitted in turn."""


def fit_biases(pairs: Tensor, values: Tensor, users: int, items: int) -> tuple[Tensor, Tensor]:
    r"""Returns the biases :math:`b_u` and :math:`b_i` of :math:`r_{ui} = b_u + b_i`, fitted by regularized least
    squares (Koren, "Factor in the neighbors", 2010, section 2.1). A user or item without a rating has a bias of 0.

    Args:
        pairs: ``(ratings, 2)`` indices of users and items.
        values: ``(ratings,)`` ratings, of which the mean is subtracted.
        users, items: numbers of users and of items.
    """
    user, item = pairs.unbind(1)
    values = values.double()
    biases = [values.new_zeros(users), values.new_zeros(items)]
    sides = (user, biases[0], SHRINKAGE[0]), (item, biases[1], SHRINKAGE[1])
    counts = [torch.bincount(index, minlength=len(bias)) for index, bias, _ in sides]
    for _ in range(SWEEPS):
        for side in (1, 0):
            index, bias, shrinkage = sides[side]
            other, other_bias, _ = sides[1 - side]
            residuals = torch.zeros_like(bias).index_add_(0, index, values - other_bias[other])
            bias.copy_(residuals / (shrinkage + counts[side]))
    return biases[0].float(), biases[1].float()
