"""Metrics and the loss of sequences, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from primer.errors import InputError
from primer.objectives import SequenceCrossEntropy, TagCrossEntropy
from primer.objectives.metrics import (
    EditDistanceRate,
    ExactMatch,
    TokenAccuracy,
    WordErrorRate,
    answers,
    cut,
    first_answers,
)
from primer.objectives.sequences import step_cross_entropy
from primer.spec import IGNORE, PADDING, Sequence, Tags

END = 3
TARGETS = torch.tensor([
    [4, 5, 6, END],
    [4, END, IGNORE, IGNORE],
    [5, 5, END, IGNORE],
    [END, IGNORE, IGNORE, IGNORE],
])  # fmt: skip
PREDICTIONS = torch.tensor([
    [4, 5, 6, END, 0],  # right
    [4, END, 9, 9, END],  # right: what follows the end does not count
    [5, 6, 5, END, 0],  # one too many
    [7, 7, 7, 7, 7],  # no end, where there is nothing to say
])  # fmt: skip
METRICS = {
    "exact_match": (lambda: ExactMatch(END), 2 / 4),
    # Insertions and substitutions 0 + 0 + 1 + 5, for 3 + 1 + 2 + 0 tokens.
    "edit_distance_rate": (lambda: EditDistanceRate(END), 6 / 6),
    # Right at 4 of 4, 2 of 2, 1 of 3 and 0 of 1 steps.
    "token_accuracy": (TokenAccuracy, 7 / 10),
}


@pytest.mark.parametrize("name", METRICS)
def test_the_value_is_the_one_worked_out_by_hand(name: str) -> None:
    make, value = METRICS[name]
    assert measured(make(), PREDICTIONS, TARGETS) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("size", [1, 3])
def test_the_value_does_not_depend_on_batches(name: str, size: int) -> None:
    make, value = METRICS[name]
    metric = make()
    for first in range(0, len(TARGETS), size):
        metric.update(PREDICTIONS[first : first + size], TARGETS[first : first + size])
    assert metric.compute().item() == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_the_value_does_not_depend_on_padding(name: str) -> None:
    make, value = METRICS[name]
    targets = torch.nn.functional.pad(TARGETS, (0, 3), value=IGNORE)
    predictions = torch.nn.functional.pad(PREDICTIONS, (0, 4))  # Row 3 has no end: it stops where it is padded.
    assert measured(make(), predictions, targets) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_predictions_may_be_shorter_than_targets(name: str) -> None:
    short, expected = PREDICTIONS[:, :2], {"exact_match": 1 / 4, "edit_distance_rate": 4 / 6, "token_accuracy": 5 / 10}
    assert measured(METRICS[name][0](), short, TARGETS) == pytest.approx(expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions(name: str) -> None:
    best = 0.0 if name == "edit_distance_rate" else 1.0
    assert measured(METRICS[name][0](), TARGETS.clamp(min=0), TARGETS) == best


def test_the_edit_distance_of_two_known_words() -> None:
    # kitten, sitting: two substitutions and an insertion.
    kitten, sitting = ([[*(ord(letter) for letter in word), END]] for word in ("kitten", "sitting"))
    assert measured(EditDistanceRate(END), torch.tensor(kitten), torch.tensor(sitting)) == pytest.approx(3 / 7)


def test_cut_stops_before_the_first_of_its_marks() -> None:
    rows = torch.tensor([[4, END, 5], [4, 5, PADDING], [END, 4, END], [PADDING, END, 5], [4, 5, 6]])
    assert cut(rows, END, PADDING) == [[4], [4, 5], [], [], [4, 5, 6]]
    assert cut(rows, END) == [[4], [4, 5, PADDING], [], [PADDING], [4, 5, 6]]


def test_step_cross_entropy_is_the_mean_over_the_steps_that_count() -> None:
    outputs = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]], [[math.log(4), 0.0], [50.0, -50.0]]])
    targets = torch.tensor([[0, 1], [1, IGNORE]])
    loss, count = step_cross_entropy(outputs, targets, label_smoothing=0.0)
    # The probabilities of the true classes are 1/2, 3/4 and 1/5.
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3) + math.log(5)) / 3)
    assert count == 3


def test_step_cross_entropy_smooths_the_steps_that_count_alone() -> None:
    outputs = torch.tensor([[[0.0, math.log(3)], [50.0, -50.0]]])
    loss, _ = step_cross_entropy(outputs, torch.tensor([[1, IGNORE]]), label_smoothing=0.2)
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_padding_changes_neither_the_loss_nor_its_gradient() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(3, 4, 5), torch.randint(5, (3, 4))
    padded = torch.cat([outputs, torch.full((3, 2, 5), 9.0)], dim=1).requires_grad_()
    loss, count = step_cross_entropy(outputs, targets, 0.1)
    same, same_count = step_cross_entropy(padded, torch.nn.functional.pad(targets, (0, 2), value=IGNORE), 0.1)
    same.backward()
    assert padded.grad is not None
    assert torch.allclose(loss, same)
    assert count == same_count == 12
    assert padded.grad[:, :4].abs().sum() > 0
    assert not padded.grad[:, 4:].any()


def test_nothing_but_padding_costs_nothing() -> None:
    loss, count = step_cross_entropy(torch.randn(2, 3, 4), torch.full((2, 3), IGNORE), 0.0)
    assert (loss, count) == (0, 0)


def test_the_objective_of_sequences() -> None:
    target = Sequence(("<pad>", "<unk>", "<start>", "<end>", "a", "b"))
    objective = SequenceCrossEntropy(target, label_smoothing=0.1)
    outputs = torch.randn(2, 3, 6)
    assert objective.outputs == 6
    assert torch.equal(objective.predict(outputs), outputs.argmax(-1))
    assert set(objective.metrics()) == {"exact_match", "edit_distance_rate", "token_accuracy"}
    assert objective.settings() == {"label_smoothing": 0.1}
    targets = torch.tensor([[4, 3, IGNORE], [4, 5, 3]])
    assert torch.equal(objective.loss(outputs, targets)[0], step_cross_entropy(outputs, targets, 0.1)[0])


ALTERNATIVES = torch.tensor([
    [4, 5, END, 4, 6, END, 7, END],
    [4, 5, END, 4, 6, 6, END, IGNORE],
    [4, 5, 6, 7, END, 8, END, IGNORE],
    [END, 4, END, IGNORE, IGNORE, IGNORE, IGNORE, IGNORE],
])  # fmt: skip
SAID = torch.tensor([
    [4, 6, END, 0],  # the second answer
    [4, 4, 6, 6],  # one edit from the second answer, three from the first
    [9, 9, END, 0],  # four edits from the first, two from the second, of one token
    [END, 0, 0, 0],  # the first answer, which is empty
])  # fmt: skip


def test_any_of_several_answers_is_right() -> None:
    assert measured(ExactMatch(END), SAID, ALTERNATIVES) == 2 / 4
    assert measured(WordErrorRate(END), SAID, ALTERNATIVES) == 2 / 4
    # 0 + 1 + 2 + 0 edits to answers of 2, 3, 1 and 0 tokens.
    assert measured(EditDistanceRate(END), SAID, ALTERNATIVES) == pytest.approx(3 / 6)
    # Steps are those of the first answers: right at 2 of 3, 1 of 3, 0 of 5 and 1 of 1.
    assert measured(TokenAccuracy(END), SAID, ALTERNATIVES) == pytest.approx(4 / 12)


def test_of_two_answers_that_are_as_near_the_first_counts() -> None:
    targets = torch.tensor([[4, 5, 6, END, 4, END]])
    assert measured(EditDistanceRate(END), torch.tensor([[4, 5, END]]), targets) == pytest.approx(1 / 3)


def test_answers_end_where_they_say() -> None:
    assert answers(ALTERNATIVES[2:], END) == [[[4, 5, 6, 7], [8]], [[], [4]]]
    assert answers(torch.tensor([[4, 5], [4, IGNORE], [END, 4]]), END) == [[[4, 5]], [[4]], [[], [4]]]
    expected = [[4, 5, 6, 7, END, *[IGNORE] * 3], [END, *[IGNORE] * 7]]
    assert first_answers(ALTERNATIVES[2:], END).tolist() == expected


def test_the_loss_is_that_of_the_first_answer() -> None:
    objective = SequenceCrossEntropy(Sequence(tuple("pust456789")), label_smoothing=0.1)
    outputs = torch.randn(4, 8, 10, requires_grad=True)
    loss, count = objective.loss(outputs, ALTERNATIVES)
    assert count == 12
    assert torch.equal(loss, step_cross_entropy(outputs, first_answers(ALTERNATIVES, END), 0.1)[0])
    loss.backward()
    assert outputs.grad is not None
    assert torch.equal(outputs.grad.abs().sum(-1) > 0, first_answers(ALTERNATIVES, END) != IGNORE)


def test_of_phonemes_the_metrics_have_the_names_of_the_field() -> None:
    metrics = SequenceCrossEntropy(Sequence(tuple("pust456789"), unit="phoneme")).metrics()
    for rows in (slice(0, 1), slice(1, 4)):
        metrics.update(SAID[rows], ALTERNATIVES[rows])
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"wer": 0.5, "per": 0.5, "token_accuracy": 4 / 12})


def test_tags_and_sequences_do_not_mix() -> None:
    with pytest.raises(InputError, match="TagCrossEntropy does not suit targets of type Sequence"):
        TagCrossEntropy(Sequence(("<pad>", "<unk>", "<start>", "<end>")))
    with pytest.raises(InputError, match="SequenceCrossEntropy does not suit targets of type Tags"):
        SequenceCrossEntropy(Tags(("NOUN", "VERB")))


def measured(metric: Metric, predictions: Tensor, targets: Tensor) -> float:
    """The value of a metric after one batch."""
    metric.update(predictions, targets)
    return metric.compute().item()
