"""Sessions: layouts of files, splits, sequences, and malformed lines."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.recommendation.sessions import Session, Sessions, windows
from primer.data.recommendation.transitions import Transitions
from primer.errors import InputError
from primer.spec import IGNORE, UNKNOWN, NextToken, Tokens

LISTS = {f"s{k}": [f"i{(k + step * (1 + k % 3)) % 7}" for step in range(3 + k % 4)] for k in range(20)}


def write(folder: Path, lines: list[str] | None = None, header: str = "session,item,time") -> Path:
    rows = [f"{name},{item},{10 * place}" for name, items in LISTS.items() for place, item in enumerate(items)]
    rows = rows[::2][::-1] + rows[1::2]  # Not in order of time.
    (folder / "sessions.csv").write_text("\n".join([header, *(rows if lines is None else lines), ""]))
    return folder / "sessions.csv"


def predicted(data: Sessions, part: Any) -> list[tuple[tuple[str, ...], str]]:
    """Returns each item to predict, after those that it is predicted from."""
    batch, words = data.parts[part], data.spec.target.vocabulary  # type: ignore[union-attr]
    assert isinstance(batch, Batch)
    assert batch.targets is not None
    assert batch.lengths is not None
    assert not batch.inputs[torch.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]].any()
    return [
        (tuple(words[k] for k in inputs[: step + 1]), words[target])
        for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
        for step, target in enumerate(targets)
        if target != IGNORE
    ]


def pairs_of(items: list[str] | tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    return [(tuple(items[:k]), items[k]) for k in range(1, len(items))]


def test_whole_sessions_are_held_out_and_read_in_order_of_time(tmp_path: Path) -> None:
    data = Sessions(write(tmp_path)).prepare()
    assert data.sizes() == {"train": 14, "val": 2, "test": 4}
    found = [pair for part in data.parts for pair in predicted(data, part)]
    assert Counter(found) == Counter(pair for items in LISTS.values() for pair in pairs_of(items))
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.target == NextToken(data.spec.input.vocabulary, "item")


def test_the_last_item_of_each_session_is_left_out(tmp_path: Path) -> None:
    data = Sessions(write(tmp_path), split="leave_one_out").prepare()
    long = [items for items in LISTS.values() if len(items) >= 4]
    short = [items for items in LISTS.values() if len(items) < 4]
    assert sorted(predicted(data, "test")) == sorted(pairs_of(items)[-1] for items in long)
    assert sorted(predicted(data, "val")) == sorted(pairs_of(items)[-2] for items in long)
    trained = [pair for items in long for pair in pairs_of(items)[:-2]] + [
        p for items in short for p in pairs_of(items)
    ]
    assert Counter(predicted(data, "train")) == Counter(trained)
    without = Sessions(write(tmp_path), split="leave_one_out", val_fraction=0).prepare()
    assert without.sizes()["val"] == 0
    assert len(predicted(without, "train")) == sum(max(1, len(items) - 2) for items in LISTS.values())


@pytest.mark.parametrize("layout", ["userId,movieId,rating,timestamp", "u.data", "ratings.dat"])
def test_layouts_of_movielens_are_sessions_of_users(layout: str, tmp_path: Path) -> None:
    separator = {"u.data": "\t", "ratings.dat": "::"}.get(layout, ",")
    rows = [
        separator.join((name[1:], item[1:], "3.5", str(place)))
        for name, items in LISTS.items()
        for place, item in enumerate(items)
    ]
    file = tmp_path / "ratings"
    file.write_text("\n".join([*([layout] if "," in layout else []), *rows]))
    data = Sessions(file).prepare()
    found = [pair for part in data.parts for pair in predicted(data, part)]
    numbers = [[item[1:] for item in items] for items in LISTS.values()]
    assert Counter(found) == Counter(pair for items in numbers for pair in pairs_of(items))


@pytest.mark.parametrize(
    ("size", "first", "longest", "stride"), itertools.product(range(2, 13), (1, 4), (1, 3, 8), (1, 2))
)
def test_sequences_predict_each_item_once_with_enough_context(size: int, first: int, longest: int, stride: int) -> None:
    stride = min(longest, stride)
    cut = list(windows(size, first, longest, stride))
    assert [k for _, start, end in cut for k in range(start, end + 1)] == list(range(first, size))
    for start, predicted_from, end in cut:
        assert 0 < end - start <= longest
        assert start < predicted_from
        assert predicted_from - start >= min(predicted_from, longest - stride + 1)


def test_held_out_sequences_have_context(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text("user,item,time\n" + "".join(f"u,i{k},{k}\nv,i{k},{k}\n" for k in range(20)))
    data = Sessions(tmp_path / "long.csv", test_fraction=0.5, val_fraction=0, sequence_length=6)
    data.split = lambda parts: {"train": parts["train"], "val": [], "test": [Session(parts["train"][0].items, 1, True)]}  # type: ignore[method-assign, assignment, index, union-attr]
    data.prepare()
    lengths = [len(context) for context, _ in predicted(data, "test")]
    assert lengths == [1, 2, 3, 4, 5, 6, *[4, 5, 6] * 4, 6][: len(lengths)]
    assert len(predicted(data, "train")) == 38


def test_unseen_and_rare_items_are_unknown(tmp_path: Path) -> None:
    rows = [f"s{k},{item},{time}" for k in range(9) for time, item in enumerate("aabb")]
    file = write(tmp_path, [*rows, "s0,rare,2.5", "s1,new,9"])
    data = Sessions(file, min_count=2, split="leave_one_out").prepare()
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.vocabulary[2:] == ("a", "b")
    assert (("a", "a", "b"), "<unk>") in predicted(data, "val")
    assert (("a", "a", "b", "<unk>"), "b") in predicted(data, "test")
    assert (("a", "a", "b", "b"), "<unk>") in predicted(data, "test")


@pytest.mark.parametrize(
    ("header", "line", "problem"),
    [
        ("session,item,time", "s,,1", "line 2: 'item' is missing"),
        ("session,item,time", "s,a,nan", "line 2: 'time' is 'nan', a missing value"),
        ("session,item,time", "s,a,soon", "line 2: 'time' is 'soon', not a number"),
        ("session,item,time", "s,a", "line 2: 2 cells, but expected 3: session, item, time"),
        ("session,item", "s,a", "line 1: there is no column 'time'"),
        ("visit,item,time", "s,a,1", "line 1: there is no column 'session'.*; data.session names it"),
        ("session,item,time", "s,a,1\nt,a,2", "no session has two items"),
        ("", "", "line 1: the file is empty"),
    ],
)
def test_a_malformed_file_is_reported(header: str, line: str, problem: str, tmp_path: Path) -> None:
    file = write(tmp_path, line.split("\n"), header)
    with pytest.raises(InputError, match="sessions.csv.*" + problem):
        Sessions(file).prepare()


@pytest.mark.parametrize(
    "settings",
    [
        {"sequence_length": 0},
        {"min_count": 0},
        {"per_session": 1},
        {"split": "time"},
        {"folds": 3, "split": "leave_one_out"},
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        Sessions(**settings)


def test_a_training_part_without_items_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"min_count=1000 leaves no item: the most frequent one occurs \d+ times"):
        Sessions(write(tmp_path), min_count=1000).prepare()


def test_short_sessions_are_tested_if_nothing_is_left_out_for_validation(tmp_path: Path) -> None:
    file = write(tmp_path, [f"s{k},{item},2020-01-0{time + 1}" for k in range(9) for time, item in enumerate("abc")])
    data = Sessions(file, split="leave_one_out", val_fraction=0).prepare()
    assert predicted(data, "train") == [(("a",), "b")] * 9
    assert predicted(data, "test") == [(("a", "b"), "<unk>")] * 9


def test_generated_sessions_depend_only_on_their_own_seed() -> None:
    first, same, other = (Sessions(sessions=50, data_seed=seed).prepare().parts["test"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs, same.inputs)  # type: ignore[union-attr]
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)  # type: ignore[union-attr]


def test_transitions_count_what_followed(tmp_path: Path) -> None:
    data = Sessions(write(tmp_path)).prepare()
    words = data.spec.target.vocabulary  # type: ignore[union-attr]
    counts = Counter((context[-1], item) for context, item in predicted(data, "train"))
    scores = Transitions(*data.transitions(), data.occurrences)(torch.arange(len(words))[None])[0]
    for k, item in enumerate(words[UNKNOWN + 1 :], start=UNKNOWN + 1):
        row = {other: float(scores[k, n]) for n, other in enumerate(words[UNKNOWN + 1 :], start=UNKNOWN + 1)}
        assert {other: int(score) for other, score in row.items()} == {other: counts[item, other] for other in row}
    items = Counter(item for items in data.parts["train"].inputs.tolist() for item in items)  # type: ignore[union-attr]
    assert items[2] > 0
    assert scores[0].argmax() == 2  # Nothing follows padding: the most frequent item, the first of the vocabulary.
