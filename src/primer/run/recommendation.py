"""Recommends items with the model of a run."""

from __future__ import annotations

from primer.checkpoints.reading import load
from primer.data.base import DataModule
from primer.errors import InputError
from primer.models.base import Model
from primer.prediction.recommendation import Ranking
from primer.records.console import say
from primer.run.building import build_data
from primer.spec import Interactions


def recommend_from_run(run: str, given: list[str], count: int) -> Ranking:
    """Returns the best items for a user, or after the items of a session.

    A checkpoint does not contain ratings, so the data of the run is read again for the items that the user rated in the
    training part, which are left out.

    Args:
        run: a run folder or a checkpoint.
        given: a user, or the items seen so far.
        count: the number of items.

    Raises:
        InputError: if the model does not recommend items, or does not know the user or an item.
    """
    model = load(run)
    if not isinstance(model.spec.input, Interactions):
        return model.recommend(given, count)
    if len(given) != 1:
        raise InputError(f"{type(model).__name__} recommends items to one user, not to {' '.join(given)!r}")
    model.recommend(given[0], 1)  # An unknown user is an error before the data is read.
    return model.recommend(given[0], count, rated_items(model, given[0]))


def rated_items(model: Model, user: str) -> list[str]:
    """Returns the items that a user rated in the training part; none, with a warning, if the data of the run cannot be
    read again."""
    kind = model.spec.input
    assert isinstance(kind, Interactions)
    try:
        if "data" not in model.config:
            raise InputError("the checkpoint does not contain the config of its data")
        data = build_data(model.config)
        if not isinstance(data, DataModule) or not isinstance(data.spec.input, Interactions):
            raise InputError("the data of the run are not ratings")
        if user not in data.spec.input.users:
            raise InputError(f"the data of the run have changed: they have no {user!r}")
    except InputError as error:
        say(f"warning: items that {user} rated may be listed, too: {error}")
        return []
    names, pairs = data.spec.input, data.whole("train").inputs
    return [names.items[k] for k in pairs[pairs[:, 0] == names.users.index(user), 1].tolist()]
