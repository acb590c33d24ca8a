"""Ratings: layouts of files, splits, and malformed lines."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primer.batch import Batch
from primer.data.recommendation.biases import SHRINKAGE, fit_biases
from primer.data.recommendation.ratings import Ratings
from primer.errors import InputError
from primer.spec import UNSEEN, Interactions, Values

ROWS = [(f"u{k % 7}", 10 + (5 * k) % 11, (k % 9 + 1) / 2, 1000 + (37 * k) % 60) for k in range(60)]
"""User, item, rating and time; no two at the same time."""


def write(folder: Path, text: str | None = None, header: str = "user,item,rating,timestamp") -> Path:
    lines = text if text is not None else "\n".join(",".join(map(str, row)) for row in ROWS)
    (folder / "ratings.csv").write_text(f"{header}\n{lines}\n")
    return folder / "ratings.csv"


def decoded(data: Ratings, part: Any) -> list[tuple[str, str, float]]:
    """Returns the users, items and ratings of a part."""
    batch, kind = data.parts[part], data.spec.input
    assert isinstance(batch, Batch)
    assert isinstance(kind, Interactions)
    assert batch.targets is not None
    return [
        (kind.users[user], kind.items[item], rating)
        for (user, item), (rating,) in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
    ]


def test_parts_are_disjoint_and_complete(tmp_path: Path) -> None:
    data = Ratings(write(tmp_path)).prepare()
    rows = [row for part in data.parts for row in decoded(data, part)]
    assert data.sizes() == {"train": 42, "val": 6, "test": 12}
    expected = sorted((user, str(item), rating) for user, item, rating, _ in ROWS)
    assert sorted(row for row in rows if UNSEEN not in row) == [row for row in expected if row in rows]
    assert data.spec.target.mean[0] == pytest.approx(np.mean([row[2] for row in decoded(data, "train")]))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("header", "separator"),
    [("userId,movieId,rating,timestamp", ","), ("", "\t"), ("", "::"), ("user\titem\trating\ttime", "\t")],
)
def test_layouts_are_recognized(header: str, separator: str, tmp_path: Path) -> None:
    numbers = [(user[1:], item, rating, time) for user, item, rating, time in ROWS]
    lines = [separator.join(map(str, row)) for row in numbers]
    file = tmp_path / "ratings"
    file.write_text("\n".join([*([header] if header else []), *lines]))
    data, same = Ratings(file).prepare(), Ratings(write(tmp_path)).prepare()
    for part in data.parts:
        assert torch.equal(data.parts[part].inputs, same.parts[part].inputs)  # type: ignore[union-attr]
        assert torch.equal(data.parts[part].targets, same.parts[part].targets)  # type: ignore[union-attr, arg-type]
    kind = data.spec.input
    assert isinstance(kind, Interactions)
    assert set(kind.users) == {UNSEEN, *"0123456"}


def test_the_latest_ratings_are_held_out(tmp_path: Path) -> None:
    data = Ratings(write(tmp_path), split="time").prepare()
    order = sorted(ROWS, key=lambda row: row[3])
    for part, rows in {"train": order[:42], "val": order[42:48], "test": order[48:]}.items():
        assert sorted(row[2] for row in decoded(data, part)) == sorted(row[2] for row in rows)


def test_the_last_rating_of_each_user_is_held_out(tmp_path: Path) -> None:
    lone = [("alone", 3, 5.0, 1), ("alone", 4, 1.0, 2)]
    file = write(tmp_path, "\n".join(",".join(map(str, row)) for row in [*ROWS, *lone]))
    data = Ratings(file, split="leave_one_out").prepare()
    last, before = {}, {}
    for user, rows in itertools.groupby(sorted(ROWS, key=lambda row: (row[0], row[3])), key=lambda row: row[0]):
        *_, before[user], last[user] = [row[2] for row in rows]
    assert {user: rating for user, _, rating in decoded(data, "test")} == last
    assert {user: rating for user, _, rating in decoded(data, "val")} == before
    assert len([row for row in decoded(data, "train") if row[0] == "alone"]) == 2
    assert data.sizes()["train"] == len(ROWS) + len(lone) - 14


def test_folds_cover_all_ratings(tmp_path: Path) -> None:
    tested = [decoded(Ratings(write(tmp_path), folds=5, fold=k).prepare(), "test") for k in range(5)]
    assert sorted(rating for fold in tested for _, _, rating in fold) == sorted(row[2] for row in ROWS)
    with pytest.raises(InputError, match="needs split=random, not time"):
        Ratings(folds=5, split="time")


def test_unseen_users_and_items_share_an_index(tmp_path: Path) -> None:
    rows = [*("u,a,3,1", "u,b,4,2", "v,a,2,3") * 5, "u,new,1,99", "late,a,5,100"]
    file = write(tmp_path, "\n".join(rows))
    data = Ratings(file, split="time", test_fraction=0.12, val_fraction=0).prepare()
    kind = data.spec.input
    assert isinstance(kind, Interactions)
    assert (kind.users, kind.items) == ((UNSEEN, "u", "v"), (UNSEEN, "a", "b"))
    assert decoded(data, "test") == [("u", UNSEEN, 1.0), (UNSEEN, "a", 5.0)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b,nan,3", "line 3: 'rating' is 'nan', a missing value"),
        ("a,b,,3", "line 3: 'rating' is missing"),
        (",b,3,3", "line 3: 'user' is missing"),
        ("a,b,good,3", "line 3: 'rating' is 'good', not a number"),
        ("a,b,inf,3", "line 3: 'rating' is 'inf', too large"),
        ("a,b,3", "line 3: 3 cells, but expected 4: user, item, rating, timestamp"),
        ("a,b,3,soon", "line 3: 'timestamp' is 'soon', not a number"),
    ],
)
def test_a_malformed_line_is_reported(line: str, problem: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"a,c,4,1\n{line}\nb,b,1,2")
    with pytest.raises(InputError, match="ratings.csv, " + problem):
        Ratings(file, split="time").prepare()


def test_a_missing_column_is_reported(tmp_path: Path) -> None:
    file = write(tmp_path, header="user,title,rating,timestamp")
    with pytest.raises(InputError, match=r"line 1: there is no column 'item'.*data\.item names it"):
        Ratings(file).prepare()
    Ratings(file, item="title").prepare()
    with pytest.raises(InputError, match="line 1: there is no column 'titel'; did you mean title"):
        Ratings(file, item="titel").prepare()
    short = write(tmp_path, "a,b,3", header="user,item,rating")
    with pytest.raises(InputError, match="there is no column 'time'"):
        Ratings(short, split="leave_one_out").prepare()
    short.write_text("")
    with pytest.raises(InputError, match="line 1: the file is empty"):
        Ratings(short).prepare()


@pytest.mark.parametrize(
    ("text", "settings", "problem"),
    [
        ("user;item;rating\na;b;3", {}, "there is no column 'user'.*; is data.delimiter correct?"),
        ("user;item;rating\na;b;3,5\na;c;4", {"delimiter": ";"}, "'rating' is '3,5', not a number.*: correct it$"),
        ("user,item,item,rating\na,b,c,3", {}, "line 1: two columns have the name 'item'"),
        ("user,item,rating\na,b,3", {"user": "item"}, "data.user and data.item are both the column 'item'"),
        ("1,2014-04-07T10:01:09.277Z,21,0\n1,2014-04-07T10:02:09.277Z,22,0", {}, "is a time, but without column names"),
    ],
)
def test_a_misread_layout_is_reported(text: str, settings: dict[str, Any], problem: str, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(text)
    with pytest.raises(InputError, match=problem) as raised:
        Ratings(tmp_path / "ratings.csv", **settings).prepare()
    for setting in ("decimal", "skip_rows", "na_values", "time_format"):
        assert f"data.{setting}" not in str(raised.value)


def test_times_are_numbers_or_dates_and_unused_ones_may_be_missing(tmp_path: Path) -> None:
    dates = [f"2020-01-{1 + k // 24:02}T{k % 24:02}:00:00" for k in range(len(ROWS))]
    when = dict(zip(sorted(row[3] for row in ROWS), dates, strict=True))
    rows = [(user, item, rating, when[time]) for user, item, rating, time in ROWS]
    same = decoded(Ratings(write(tmp_path), split="time").prepare(), "test")
    file = write(tmp_path, "\n".join(",".join(map(str, row)) for row in rows))
    assert decoded(Ratings(file, split="time").prepare(), "test") == same
    file = write(tmp_path, "\n".join(f"{user},{item},{rating}," for user, item, rating, _ in ROWS))
    assert Ratings(file).prepare().sizes() == {"train": 42, "val": 6, "test": 12}
    with pytest.raises(InputError, match="line 2: 'timestamp' is missing"):
        Ratings(file, split="leave_one_out").prepare()


@pytest.mark.parametrize(
    "settings", [{"users": 0}, {"per_user": 9, "items": 8}, {"split": "user"}, {"delimiter": "::"}]
)
def test_invalid_settings_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        Ratings(**settings)


def test_generated_ratings_depend_only_on_their_own_seed() -> None:
    first, same, other = (Ratings(users=50, data_seed=seed).prepare().parts["test"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs, same.inputs)  # type: ignore[union-attr]
    assert not torch.equal(first.inputs, other.inputs)  # type: ignore[union-attr]
    ratings = first.targets * 2  # type: ignore[union-attr, operator]
    assert torch.equal(ratings, ratings.round())
    assert (ratings.min(), ratings.max()) == (1, 10)
    data = Ratings(users=50).prepare()
    pairs = [tuple(row[:2]) for part in data.parts for row in decoded(data, part) if UNSEEN not in row]
    assert len(pairs) == len(set(pairs))
    assert isinstance(data.spec.target, Values)


def test_biases_solve_the_normal_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.stack([torch.randint(1, size, (300,), generator=generator) for size in (6, 9)], 1)
    values = torch.randn(300, generator=generator)
    users, items = fit_biases(pairs, values, 6, 9)
    design = np.zeros((300, 15))
    design[np.arange(300), pairs[:, 0]] = design[np.arange(300), 6 + pairs[:, 1].numpy()] = 1
    penalty = np.diag([SHRINKAGE[0]] * 6 + [SHRINKAGE[1]] * 9)
    exact = np.linalg.solve(design.T @ design + penalty, design.T @ values.numpy())
    np.testing.assert_allclose(torch.cat([users, items]), exact, atol=1e-3)
    assert users[0] == items[0] == 0
