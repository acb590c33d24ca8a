"""Accuracy on unknown words, and entity scores as computed by conlleval."""

from __future__ import annotations

import random
from itertools import product

import pytest
import torch
from torch import Tensor

from primer.objectives import TagCrossEntropy
from primer.objectives.tagging import EntityScores, UnknownAccuracy, tag_metrics
from primer.spec import IGNORE, PADDING, UNKNOWN, UNSEEN, Tags

NAMES = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")


def tags(*sentences: str, names: tuple[str, ...] = NAMES) -> Tensor:
    """Encodes sentences of tags, padded."""
    rows = [[names.index(tag) for tag in sentence.split()] for sentence in sentences]
    longest = max(map(len, rows))
    return torch.tensor([row + [IGNORE] * (longest - len(row)) for row in rows])


def spans(sentence: list[str]) -> set[tuple[int, int, str]]:
    """Returns the entities of a sentence by iterating over its words, following the rules of conlleval."""
    entities, start, kind = set(), 0, ""
    for index, tag in enumerate([*sentence, "O"]):
        new = tag != "O" and (tag[0] == "B" or tag[2:] != kind)
        if kind and (tag == "O" or new):
            entities.add((start, index, kind))
            kind = ""
        if new:
            start, kind = index, tag[2:]
    return entities


def scores(predictions: Tensor, targets: Tensor, names: tuple[str, ...] = NAMES) -> tuple[float, float, float]:
    """Returns precision, recall and F1."""
    metric = EntityScores(names)
    metric.update(predictions, targets)
    values = metric.compute()
    precision, recall, f1 = (values[f"entity_{name}"].item() for name in ("precision", "recall", "f1"))
    return precision, recall, f1


@pytest.mark.parametrize(
    ("true", "predicted", "correct", "num_predicted", "num_true"),
    [
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-LOC", 2, 2, 2),
        ("B-PER I-PER O B-LOC", "B-PER O O B-LOC", 1, 2, 2),  # Too short.
        ("B-PER O O B-LOC", "B-PER I-PER O B-LOC", 1, 2, 2),  # Too long.
        ("B-PER I-PER O O", "B-LOC I-LOC O O", 0, 1, 1),  # Another kind.
        ("B-PER I-PER I-PER", "B-PER I-PER B-PER", 0, 2, 1),  # Split in two.
        ("B-PER B-PER", "B-PER I-PER", 0, 1, 2),  # Merged into one.
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC", 2, 2, 2),  # IOB1 against IOB2.
        ("I-PER B-PER I-LOC", "B-PER B-PER B-LOC", 3, 3, 3),
        ("B-PER I-LOC", "B-PER B-LOC", 2, 2, 2),  # Another kind starts a new entity.
        ("O O", "O O", 0, 0, 0),
        ("O O", "B-PER O", 0, 1, 0),
        ("B-PER O", "O O", 0, 0, 1),
    ],
)
def test_entity_scores_match_hand_computed_values(
    true: str, predicted: str, correct: int, num_predicted: int, num_true: int
) -> None:
    precision, recall, f1 = scores(tags(predicted), tags(true))
    assert precision == pytest.approx(correct / max(1, num_predicted))
    assert recall == pytest.approx(correct / max(1, num_true))
    assert f1 == pytest.approx(2 * correct / max(1, num_predicted + num_true))


def test_entity_counts_match_a_loop_over_words() -> None:
    rng = random.Random(0)
    sentences = list(product(NAMES, repeat=3))
    for true in sentences:
        predicted = [rng.choice(sentences) for _ in range(8)]
        pairs = [(spans(list(sentence)), spans(list(true))) for sentence in predicted]
        correct = sum(len(a & b) for a, b in pairs)
        num_predicted, num_true = (sum(len(pair[k]) for pair in pairs) for k in (0, 1))
        metric = EntityScores(NAMES)
        metric.update(tags(*map(" ".join, predicted)), tags(*[" ".join(true)] * 8))
        counts = (metric.entities_correct, metric.entities_predicted, metric.entities_true)
        assert [int(count) for count in counts] == [correct, num_predicted, num_true], (true, predicted)


def test_entity_scores_do_not_depend_on_batches_or_padding() -> None:
    rng = random.Random(1)
    sentences = [[[rng.choice(NAMES) for _ in range(n)] for _ in range(2)] for n in (1, 3, 9, 2, 5, 5, 7)]
    whole, parts = EntityScores(NAMES), EntityScores(NAMES)
    true, predicted = (tags(*(" ".join(pair[k]) for pair in sentences)) for k in (0, 1))
    noisy = torch.nn.functional.pad(predicted.masked_fill(predicted == IGNORE, 2), (0, 4), value=3)
    whole.update(noisy, torch.nn.functional.pad(true, (0, 4), value=IGNORE))
    for pair in sentences:
        parts.update(tags(" ".join(pair[1])), tags(" ".join(pair[0])))
    assert whole.compute() == parts.compute()
    assert 0 < whole.compute()["entity_f1"] < 1


def test_unseen_tag_is_a_missed_entity() -> None:
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
def test_entity_scores_require_entity_tags(names: tuple[str, ...], entities: bool) -> None:
    assert ("entities" in tag_metrics(names)) == entities
    assert "accuracy_unknown" in tag_metrics(names)


def test_tag_cross_entropy_reports_tagging_metrics() -> None:
    metrics = TagCrossEntropy(Tags(NAMES)).metrics()
    inputs = torch.tensor([[5, UNKNOWN, 7, UNKNOWN], [UNKNOWN, 9, PADDING, PADDING]])
    true, predicted = tags("B-PER I-PER O O", "O O"), tags("B-PER I-PER O B-LOC", "O B-PER")
    for row in range(2):  # The first update determines the compute groups that the second one uses.
        metrics.update(predicted[row : row + 1], true[row : row + 1], inputs=inputs[row : row + 1])
    values = metrics.compute()
    assert values["accuracy"] == pytest.approx(4 / 6)
    assert values["accuracy_unknown"] == pytest.approx(2 / 3)
    assert values["entity_precision"] == pytest.approx(1 / 3)
    assert values["entity_recall"] == 1
    assert values["entity_f1"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("spelled", [False, True])
def test_unknown_accuracy_ignores_known_words(spelled: bool) -> None:
    words = torch.tensor([[2, UNKNOWN, UNKNOWN, PADDING]])
    inputs = torch.stack([words, torch.full_like(words, UNKNOWN)], dim=-1) if spelled else words
    metric = UnknownAccuracy()
    metric.update(torch.tensor([[0, 1, 1, 1]]), torch.tensor([[1, 1, 0, IGNORE]]), inputs)
    assert metric.compute() == 1 / 2


@pytest.mark.parametrize(
    "inputs", [None, torch.randn(1, 2, 3), torch.tensor([[3, 4]])], ids=["none", "series", "known"]
)
def test_unknown_accuracy_is_empty_without_unknown_words(inputs: Tensor | None) -> None:
    metric = UnknownAccuracy()
    metric.update(torch.tensor([[0, 1]]), torch.tensor([[0, 1]]), inputs)
    assert metric.compute().shape == (0,)
