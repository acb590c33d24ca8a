"""Ratings generated from factors of users and items, so that no download is needed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FACTORS = 3
"""The number of tastes that users differ in."""
MEAN, USER_STD, ITEM_STD, TASTE_STD, NOISE = 3.5, 0.4, 0.5, 0.7, 0.4
"""The mean rating and the standard deviations of its parts."""
POPULARITY = 0.8
"""The k-th most popular item is rated in proportion to ``k ** -POPULARITY``."""


class Ratings(NamedTuple):
    """Ratings in order of time: indices of users and items, and the rating, from 0.5 to 5 in steps of 0.5."""

    users: Tensor
    items: Tensor
    ratings: Tensor


def generate_ratings(users: int, items: int, per_user: int, seed: int) -> Ratings:
    """Generates ratings: a mean, a bias of the user and one of the item, the product of their factors, and noise.

    Users rate different numbers of items, each item at most once, and popular ones more often.

    Args:
        users, items: their numbers.
        per_user: the mean number of ratings of a user, before it is limited by ``items``.
        seed: seed of everything that is drawn.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    tastes, traits = normal(users, FACTORS), normal(items, FACTORS)
    expected = MEAN + USER_STD * normal(users, 1) + ITEM_STD * normal(1, items) + TASTE_STD * (
        tastes @ traits.T / FACTORS**0.5
    )  # fmt: skip
    ranks = torch.randperm(items, generator=generator) + 1
    # The largest values of log-weights plus Gumbel noise are a weighted sample without replacement.
    gumbel = -torch.log(-torch.log(torch.rand(users, items, generator=generator).clamp(1e-9, 1 - 1e-7)))
    order = (gumbel - POPULARITY * ranks.log()).argsort(dim=1, descending=True)
    counts = (per_user * (0.5 + torch.rand(users, 1, generator=generator))).round().clamp(1, items)
    rated = torch.arange(items) < counts
    user, rank = rated.nonzero(as_tuple=True)
    item = order[user, rank]
    ratings = ((expected[user, item] + NOISE * normal(len(user))) * 2).round().clamp(1, 10) / 2
    when = torch.randperm(len(user), generator=generator)
    return Ratings(user[when], item[when], ratings[when])
