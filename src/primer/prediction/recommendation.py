"""Recommends items to a user or after a session, and finds similar items."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.readers.vocabulary import token_to_index
from primer.errors import InputError, closest
from primer.prediction.predict import TrainedModel, default_batch_size, latest
from primer.spec import UNKNOWN, Interactions, NextToken, Values

Ranking = list[tuple[str, float]]
"""Items and their scores, the best one first."""


class Recommender(TrainedModel, Protocol):
    """What is used of a model."""

    def item_vectors(self) -> Tensor: ...


def recommend(model: Recommender, user: str | Sequence[str], count: int = 10, exclude: Collection[str] = ()) -> Ranking:
    """Returns the items with the highest predicted rating, or those most likely to be next. See ``Model.recommend``."""
    _check_count(count)
    if isinstance(exclude, str):
        raise InputError(f"exclude must be a list of items, not {exclude!r}")
    kind, target = model.spec.input, model.spec.target
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            if isinstance(kind, Interactions) and isinstance(target, Values):
                return _by_rating(model, kind, user, count, exclude)
            if isinstance(target, NextToken) and target.unit == "item":
                seen = user if isinstance(user, Sequence) and not isinstance(user, str) else [user]
                return _by_probability(model, target, seen, count, exclude)
    finally:
        model.train(training)
    raise InputError(f"{type(model).__name__} does not recommend items: use a run of data=ratings or data=sessions")


def similar(model: Recommender, item: str, count: int = 10) -> Ranking:
    """Returns the items with the most similar vectors. See ``Model.similar``."""
    _check_count(count)
    kind, target = model.spec.input, model.spec.target
    if isinstance(kind, Interactions):
        names, first = kind.items, 1
    elif isinstance(target, NextToken) and target.unit == "item":
        names, first = target.vocabulary, UNKNOWN + 1
    else:
        raise InputError(f"{type(model).__name__} has no vectors of items: use a run of data=ratings or data=sessions")
    row = _find("item", item, names, first)
    vectors = model.item_vectors().detach().float()
    cosines = torch.nn.functional.cosine_similarity(vectors[row], vectors, dim=1)
    cosines[:first] = cosines[row] = -torch.inf
    return _top(cosines, names, count)


def _by_rating(model: Recommender, kind: Interactions, user: object, count: int, exclude: Collection[str]) -> Ranking:
    if not isinstance(user, str):
        raise InputError(f"{type(model).__name__} recommends items to one user, given by name, not {user!r}")
    row = _find(kind.names[0], user, kind.users, 1)
    items = torch.arange(len(kind.items), device=model.device)
    pairs = torch.stack([torch.full_like(items, row), items], 1)
    ratings = torch.cat([model.predict_batch(Batch(part))[:, 0] for part in pairs.split(default_batch_size(model))])
    names = {name: k for k, name in enumerate(kind.items)}
    ratings[[0, *(names[name] for name in exclude if name in names)]] = -torch.inf
    return _top(ratings, kind.items, count)


def _by_probability(
    model: Recommender, target: NextToken, seen: Sequence[str], count: int, exclude: Collection[str]
) -> Ranking:
    if not seen:
        raise InputError("recommend needs at least one item that was seen")
    codes = [_find("item", name, target.vocabulary, UNKNOWN + 1) for name in seen]
    batch = Batch(torch.tensor([codes], device=model.device), None, torch.tensor([len(codes)]))
    limit = getattr(model, "context_length", None)
    if limit is not None and len(codes) > limit:
        batch = latest(batch, limit)
    probabilities = model.forward_batch(batch)[0, -1].float().softmax(0)
    known = token_to_index(target.vocabulary)
    left_out = [*range(UNKNOWN + 1), *codes, *(known[name] for name in exclude if name in known)]
    probabilities[left_out] = -torch.inf
    return _top(probabilities, target.vocabulary, count)


def _check_count(count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise InputError(f"count must be an integer of at least 1, not {count}")


def _find(what: str, name: str, names: Sequence[str], first: int) -> int:
    """Returns the index of a name.

    Raises:
        InputError: if it does not occur, with the nearest one.
    """
    if not isinstance(name, str):
        raise InputError(f"the name of the {what} must be a text, not {name!r}")
    if name in names[first:]:
        return names.index(name, first)
    near = closest(name, names[first:])
    raise InputError(f"the training part has no {what} {name!r}" + (f"; did you mean {near}?" if near else ""))


def _top(scores: Tensor, names: Sequence[str], count: int) -> Ranking:
    best = scores.topk(min(count, int((scores > -torch.inf).sum())))
    return [(names[int(k)], float(score)) for k, score in zip(best.indices, best.values, strict=True)]
