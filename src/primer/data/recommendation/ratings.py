"""Ratings of items by users."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.data.readers.csv_rows import parse_delimiter
from primer.data.readers.lines import find_file
from primer.data.readers.rating_rows import index_names, read_columns, to_times, to_values
from primer.data.recommendation.synthetic import generate_ratings
from primer.errors import InputError
from primer.spec import UNSEEN, Interactions, Spec, Values

Split = Literal["random", "time", "leave_one_out"]
FEWEST = 3
"""A user with fewer ratings stays in the training part if one rating of each user is left out."""


class Ratings(DataModule):
    """How users rate items: a sample is a user, an item and a rating.

    The file is a CSV file, or one of MovieLens: ``ratings.csv``, ``u.data`` or ``ratings.dat``. Users and items are
    those of the training part; all others count as one unseen user or item.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder. None generates
            ratings.
        user, item, rating, time: the names of the columns; None finds them. Only ``split`` uses the time.
        split: how the validation and the test part are held out: ``random``; ``time``, the latest ratings of all; or
            ``leave_one_out``, the latest rating of each user with at least three for the test, and the one before for
            validation. Then, ``test_fraction`` has no effect, and ``val_fraction=0`` is without validation.
        delimiter: the character between cells; None for ``::``, a tab or a comma, whichever the first line has.
        users, items, per_user: the numbers of generated users, items, and ratings per user on average, if that is
            well below ``items``.
        data_seed: seed of generated ratings.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if a setting is invalid; when the data is read, if a line is malformed, or a column is missing.
    """

    inputs = Interactions
    targets = Values

    def __init__(
        self,
        path: str | Path | None = None,
        user: str | None = None,
        item: str | None = None,
        rating: str | None = None,
        time: str | None = None,
        split: Split = "random",
        delimiter: str | None = None,
        users: int = 400,
        items: int = 300,
        per_user: int = 40,
        data_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if split not in ("random", "time", "leave_one_out"):
            raise InputError(f"split must be one of random, time, leave_one_out, not {split!r}")
        if self.folds is not None and split != "random":
            raise InputError(f"folds={self.folds} divides ratings at random: it needs split=random, not {split}")
        for name, count in (("users", users), ("items", items), ("per_user", per_user)):
            if count < 1:
                raise InputError(f"{name} must be at least 1, not {count}")
        if per_user > items:
            raise InputError(f"per_user={per_user}, but a user rates each of the {items} items at most once")
        self.path, self.mode = path, split
        self.columns = {"user": user, "item": item, "rating": rating, "time": time}
        self.delimiter = None if delimiter is None else parse_delimiter(delimiter)
        self.users, self.items, self.per_user, self.data_seed = users, items, per_user, data_seed

    def read(self) -> dict[Part, Records]:
        """Returns inputs ``(ratings, 3)``: the user, the item, and the rank in order of time; indices are into
        ``self.names``."""
        if self.path is None:
            made = generate_ratings(self.users, self.items, self.per_user, self.data_seed)
            self.names = ([f"user {k}" for k in range(self.users)], [f"item {k}" for k in range(self.items)])
            self.fields = "user", "item", "rating"
            pairs, ratings, ranks = torch.stack(made[:2], 1), made.ratings.double(), torch.arange(len(made.ratings))
        else:
            pairs, ratings, ranks = self._read_file(str(self.path))
        return {"train": Batch(torch.cat([pairs, ranks[:, None]], 1), ratings[:, None])}

    def _read_file(self, path: str) -> tuple[Tensor, Tensor, Tensor]:
        file = find_file(path, self.data_dir, "data.path names a file of ratings")
        names = {key: name for key, name in self.columns.items() if key != "time" or name or self.mode != "random"}
        columns = read_columns(file, names, delimiter=self.delimiter)
        users, items = index_names(columns["user"]), index_names(columns["item"])
        self.names = users[0], items[0]
        self.fields = tuple(columns[key].name for key in ("user", "item", "rating"))
        times = to_times(columns["time"]) if self.mode != "random" else np.zeros(len(users[1]))
        ranks = np.empty(len(times), dtype=np.int64)
        ranks[np.argsort(times, kind="stable")] = np.arange(len(times))  # At the same time: in the order of the file.
        pairs = torch.tensor([users[1], items[1]]).T
        return pairs, torch.from_numpy(to_values(columns["rating"])), torch.from_numpy(ranks)

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        if self.mode == "random":
            return super().split(parts)
        ratings = parts["train"]
        assert isinstance(ratings, Batch)
        held_out = self._latest(ratings) if self.mode == "time" else self._last_of_each_user(ratings)
        rest = torch.ones(ratings.size, dtype=torch.bool)
        rest[torch.cat(held_out)] = False
        val, test = (ratings.select(rows) for rows in held_out)
        return super().split({"train": ratings.select(rest.nonzero().flatten()), "val": val, "test": test})

    def _latest(self, ratings: Batch) -> tuple[Tensor, Tensor]:
        """Returns the rows of the validation and of the test part: the latest of all ratings."""
        size, order = ratings.size, ratings.inputs[:, 2].argsort()
        test = size - round(self.test_fraction * size)
        val = test - round(self.val_fraction * size)
        return order[val:test], order[test:]

    def _last_of_each_user(self, ratings: Batch) -> tuple[Tensor, Tensor]:
        """Returns the rows of the validation and of the test part: the last but one and the last rating of each user
        with enough ratings."""
        order = ratings.inputs[:, 2].argsort(descending=True)
        order = order[ratings.inputs[order, 0].argsort(stable=True)]
        user = ratings.inputs[order, 0]
        counts = torch.bincount(user)
        back = torch.arange(len(user)) - (counts.cumsum(0) - counts)[user]
        enough = counts[user] >= FEWEST
        val = order[enough & (back == 1)] if self.val_fraction else order[:0]
        return val, order[enough & (back == 0)]

    def fit_spec(self, train: Any) -> Spec:
        self.codes: list[Tensor] = []
        vocabularies = []
        for column, names in enumerate(self.names):
            seen = train.inputs[:, column].unique()
            codes = torch.zeros(len(names), dtype=torch.long)
            codes[seen] = torch.arange(1, len(seen) + 1)
            self.codes.append(codes)
            vocabularies.append((UNSEEN, *(names[k] for k in seen.tolist())))
        users, items = vocabularies
        return Spec(Interactions(users, items, self.fields[:2]), Values(self.fields[2:], *moments(train.targets)))

    def encode(self, records: Any) -> Batch:
        pairs = [codes[column] for codes, column in zip(self.codes, records.inputs.unbind(1), strict=False)]
        return Batch(torch.stack(pairs, 1), records.targets.float())
