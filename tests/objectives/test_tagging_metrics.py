"""Accuracy on unknown words, and entities as conlleval counts them."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.objectives import TagCrossEntropy
from primer.objectives.tagging import EntityScores, UnknownAccuracy, tag_metrics
from primer.spec import IGNORE, PADDING, UNKNOWN, UNSEEN, Tags

NAMES = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


def tags(*sentences: str, names: tuple[str, ...] = NAMES) -> Tensor:
    """Sentences of tags, padded."""
    rows = [[names.index(tag) for tag in sentence.split()] for sentence in sentences]
    longest = max(map(len, rows))
    return torch.tensor([row + [IGNORE] * (longest - len(row)) for row in rows])


def spans(sentence: list[str]) -> set[tuple[int, int, str]]:
    """The entities of a sentence, walked through word by word: what conlleval's rules say, without its code."""
    found, start, kind = set(), 0, ""
    for place, tag in enumerate([*sentence, "O"]):
        new = tag != "O" and (tag[0] == "B" or tag[2:] != kind)
        if kind and (tag == "O" or new):
            found.add((start, place, kind))
            kind = ""
        if new:
            start, kind = place, tag[2:]
    return found


def scores(predictions: Tensor, targets: Tensor, names: tuple[str, ...] = NAMES) -> tuple[float, float, float]:
    """Precision, recall and F1."""
    metric = EntityScores(names)
    metric.update(predictions, targets)
    found = metric.compute()
    precision, recall, f1 = (found[f"entity_{name}"].item() for name in ("precision", "recall", "f1"))
    return precision, recall, f1


@pytest.mark.parametrize(
    ("true", "said", "right", "number_said", "number_true"),
    [
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC", 2, 2, 2),
        ("B-PER I-PER O B-LOC", "B-PER O O B-LOC", 1, 2, 2),  # Too short.
        ("B-PER O O B-LOC", "B-PER I-PER O B-LOC", 1, 2, 2),  # Too long.
        ("B-PER I-PER O O", "B-LOC I-LOC O O", 0, 1, 1),  # Another kind.
        ("B-PER I-PER I-PER", "B-PER I-PER B-PER", 0, 2, 1),  # Cut in two.
        ("B-PER B-PER", "B-PER I-PER", 0, 1, 2),  # Two taken for one.
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC", 2, 2, 2),  # One notation against the other.
        ("I-PER B-PER I-LOC", "B-PER B-PER B-LOC", 3, 3, 3),
        ("B-PER I-LOC", "B-PER B-LOC", 2, 2, 2),  # Another kind begins anew.
        ("O O", "O O", 0, 0, 0),
        ("O O", "B-PER O", 0, 1, 0),
        ("B-PER O", "O O", 0, 0, 1),
    ],
)
def test_entities_are_counted_as_by_hand(true: str, said: str, right: int, number_said: int, number_true: int) -> None:
    precision, recall, f1 = scores(tags(said), tags(true))
    assert precision == pytest.approx(right / max(1, number_said))
    assert recall == pytest.approx(right / max(1, number_true))
    assert f1 == pytest.approx(2 * right / max(1, number_said + number_true))


def test_every_pair_of_short_sentences_is_counted_as_word_by_word() -> None:
    chance = random.Random(0)
    every = list(product(NAMES, repeat=3))
    for true in every:
        said = [chance.choice(every) for _ in range(8)]
        both = [(spans(list(one)), spans(list(true))) for one in said]
        right = sum(len(a & b) for a, b in both)
        number_said, number_true = (sum(len(pair[k]) for pair in both) for k in (0, 1))
        metric = EntityScores(NAMES)
        metric.update(tags(*map(" ".join, said)), tags(*[" ".join(true)] * 8))
        counts = (metric.entities_right, metric.entities_predicted, metric.entities_true)
        assert [int(count) for count in counts] == [right, number_said, number_true], (true, said)


def test_batches_and_padding_change_nothing() -> None:
    chance = random.Random(1)
    sentences = [[[chance.choice(NAMES) for _ in range(n)] for _ in range(2)] for n in (1, 3, 9, 2, 5, 5, 7)]
    whole, parts = EntityScores(NAMES), EntityScores(NAMES)
    true, said = (tags(*(" ".join(pair[k]) for pair in sentences)) for k in (0, 1))
    noisy = torch.nn.functional.pad(said.masked_fill(said == IGNORE, 2), (0, 4), value=3)
    whole.update(noisy, torch.nn.functional.pad(true, (0, 4), value=IGNORE))
    for pair in sentences:
        parts.update(tags(" ".join(pair[1])), tags(" ".join(pair[0])))
    assert whole.compute() == parts.compute()
    assert 0 < whole.compute()["entity_f1"] < 1


def test_an_unseen_tag_is_an_entity_that_is_missed() -> None:
    names = (*NAMES, UNSEEN)
    true = tags(f"B-PER {UNSEEN} {UNSEEN} O", names=names)
    assert scores(tags("B-PER O O O", names=names), true, names) == pytest.approx((1, 1 / 2, 2 / 3))


@pytest.mark.parametrize(
    ("names", "entities"),
    [
        (NAMES, True),
        (("B-PER", "O"), True),
        (("I-PER", "O", UNSEEN), True),
        (("O",), False),
        (("O", "B-"), False),
        (("NOUN", "O", "B-PER"), False),
        (("NOUN", "VERB"), False),
    ],
)
def test_entities_are_judged_where_tags_mark_them(names: tuple[str, ...], entities: bool) -> None:
    assert ("entities" in tag_metrics(names)) == entities
    assert "accuracy_unknown" in tag_metrics(names)


def objective(names: tuple[str, ...] = NAMES) -> Any:
    return TagCrossEntropy(Tags(names))


def test_the_objective_takes_inputs_and_gives_numbers_by_their_names() -> None:
    metrics = objective().metrics()
    inputs = torch.tensor([[5, UNKNOWN, 7, UNKNOWN], [UNKNOWN, 9, PADDING, PADDING]])
    true, said = tags("B-PER I-PER O O", "O O"), tags("B-PER I-PER O B-LOC", "O B-PER")
    for row in range(2):  # The second update goes by what the first has found of metrics with the same states.
        metrics.update(said[row : row + 1], true[row : row + 1], inputs=inputs[row : row + 1])
    found = metrics.compute()
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["accuracy_unknown"] == pytest.approx(2 / 3)
    assert found["entity_precision"] == pytest.approx(1 / 3)
    assert found["entity_recall"] == 1
    assert found["entity_f1"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("spelled", [False, True])
def test_only_unknown_words_count(spelled: bool) -> None:
    words = torch.tensor([[2, UNKNOWN, UNKNOWN, PADDING]])
    inputs = torch.stack([words, torch.full_like(words, UNKNOWN)], dim=-1) if spelled else words
    metric = UnknownAccuracy()
    metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[1, 1, 0, IGNORE]]), inputs)
    assert metric.compute() == 1 / 2


@pytest.mark.parametrize(
    "inputs", [None, torch.randn(1, 2, 3), torch.tensor([[3, 4]])], ids=["none", "series", "known"]
)
def test_without_unknown_words_there_is_no_such_figure(inputs: Tensor | None) -> None:
    metric = UnknownAccuracy()
    metric.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]), inputs)
    assert metric.compute().shape == (0,)
