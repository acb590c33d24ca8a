"""Sequence metrics and losses agree with hand-computed values."""

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
    cut,
    first_references,
    references,
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
    [4, 5, 6, END, 0],  # correct
    [4, END, 9, 9, END],  # correct: tokens after the end are ignored
    [5, 6, 5, END, 0],  # one insertion
    [7, 7, 7, 7, 7],  # no end, but the target is empty
])  # fmt: skip
METRICS = {
    "exact_match": (lambda: ExactMatch(END), 2 / 4),
    # Insertions and substitutions 0 + 0 + 1 + 5, for 3 + 1 + 2 + 0 tokens.
    "edit_distance_rate": (lambda: EditDistanceRate(END), 6 / 6),
    # Correct at 4 of 4, 2 of 2, 1 of 3 and 0 of 1 steps.
    "token_accuracy": (TokenAccuracy, 7 / 10),
}


@pytest.mark.parametrize("name", METRICS)
def test_metric_matches_hand_computed_value(name: str) -> None:
    build, value = METRICS[name]
    assert compute(build(), PREDICTIONS, TARGETS) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_metric_does_not_depend_on_batch_size(name: str, batch_size: int) -> None:
    build, value = METRICS[name]
    metric = build()
    for start in range(0, len(TARGETS), batch_size):
        metric.update(PREDICTIONS[start : start + batch_size], TARGETS[start : start + batch_size])
    assert metric.compute().item() == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_metric_does_not_depend_on_padding(name: str) -> None:
    build, value = METRICS[name]
    targets = torch.nn.functional.pad(TARGETS, (0, 3), value=IGNORE)
    predictions = torch.nn.functional.pad(PREDICTIONS, (0, 4))  # Row 3 has no end, so it ends at its padding.
    assert compute(build(), predictions, targets) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_predictions_may_be_shorter_than_targets(name: str) -> None:
    short, expected = PREDICTIONS[:, :2], {"exact_match": 1 / 4, "edit_distance_rate": 4 / 6, "token_accuracy": 5 / 10}
    assert compute(METRICS[name][0](), short, TARGETS) == pytest.approx(expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_get_the_best_score(name: str) -> None:
    best = 0.0 if name == "edit_distance_rate" else 1.0
    assert compute(METRICS[name][0](), TARGETS.clamp(min=0), TARGETS) == best


def test_edit_distance_of_kitten_and_sitting() -> None:
    # Two substitutions and an insertion.
    kitten, sitting = ([[*(ord(letter) for letter in word), END]] for word in ("kitten", "sitting"))
    assert compute(EditDistanceRate(END), torch.tensor(kitten), torch.tensor(sitting)) == pytest.approx(3 / 7)


def test_cut_stops_before_the_first_mark() -> None:
    rows = torch.tensor([[4, END, 5], [4, 5, PADDING], [END, 4, END], [PADDING, END, 5], [4, 5, 6]])
    assert cut(rows, END, PADDING) == [[4], [4, 5], [], [], [4, 5, 6]]
    assert cut(rows, END) == [[4], [4, 5, PADDING], [], [PADDING], [4, 5, 6]]


def test_step_cross_entropy_is_the_mean_over_real_steps() -> None:
    outputs = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]], [[math.log(4), 0.0], [50.0, -50.0]]])
    targets = torch.tensor([[0, 1], [1, IGNORE]])
    loss, count = step_cross_entropy(outputs, targets, label_smoothing=0.0)
    # The probabilities of the true classes are 1/2, 3/4 and 1/5.
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3) + math.log(5)) / 3)
    assert count == 3


def test_step_cross_entropy_does_not_smooth_padding() -> None:
    outputs = torch.tensor([[[0.0, math.log(3)], [50.0, -50.0]]])
    loss, _ = step_cross_entropy(outputs, torch.tensor([[1, IGNORE]]), label_smoothing=0.2)
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_padding_does_not_change_the_loss_or_its_gradient() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(3, 4, 5), torch.randint(5, (3, 4))
    padded = torch.cat([outputs, torch.full((3, 2, 5), 9.0)], dim=1).requires_grad_()
    loss, count = step_cross_entropy(outputs, targets, 0.1)
    padded_loss, padded_count = step_cross_entropy(padded, torch.nn.functional.pad(targets, (0, 2), value=IGNORE), 0.1)
    padded_loss.backward()
    assert padded.grad is not None
    assert torch.allclose(loss, padded_loss)
    assert count == padded_count == 12
    assert padded.grad[:, :4].abs().sum() > 0
    assert not padded.grad[:, 4:].any()


def test_loss_of_only_padding_is_zero() -> None:
    loss, count = step_cross_entropy(torch.randn(2, 3, 4), torch.full((2, 3), IGNORE), 0.0)
    assert (loss, count) == (0, 0)


def test_sequence_cross_entropy() -> None:
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
HYPOTHESES = torch.tensor([
    [4, 6, END, 0],  # the second reference
    [4, 4, 6, 6],  # one edit from the second reference, three from the first
    [9, 9, END, 0],  # four edits from the first reference, two from the second, which has one token
    [END, 0, 0, 0],  # the first reference, which is empty
])  # fmt: skip


def test_predictions_may_match_any_reference() -> None:
    assert compute(ExactMatch(END), HYPOTHESES, ALTERNATIVES) == 2 / 4
    assert compute(WordErrorRate(END), HYPOTHESES, ALTERNATIVES) == 2 / 4
    # 0 + 1 + 2 + 0 edits to references of 2, 3, 1 and 0 tokens.
    assert compute(EditDistanceRate(END), HYPOTHESES, ALTERNATIVES) == pytest.approx(3 / 6)
    # Against the first references only: correct at 2 of 3, 1 of 3, 0 of 5 and 1 of 1 steps.
    assert compute(TokenAccuracy(END), HYPOTHESES, ALTERNATIVES) == pytest.approx(4 / 12)


def test_first_of_two_equally_near_references_counts() -> None:
    targets = torch.tensor([[4, 5, 6, END, 4, END]])
    assert compute(EditDistanceRate(END), torch.tensor([[4, 5, END]]), targets) == pytest.approx(1 / 3)


def test_references_are_split_at_their_ends() -> None:
    assert references(ALTERNATIVES[2:], END) == [[[4, 5, 6, 7], [8]], [[], [4]]]
    assert references(torch.tensor([[4, 5], [4, IGNORE], [END, 4]]), END) == [[[4, 5]], [[4]], [[], [4]]]
    expected = [[4, 5, 6, 7, END, *[IGNORE] * 3], [END, *[IGNORE] * 7]]
    assert first_references(ALTERNATIVES[2:], END).tolist() == expected


def test_loss_uses_the_first_reference() -> None:
    objective = SequenceCrossEntropy(Sequence(tuple("pust456789")), label_smoothing=0.1)
    outputs = torch.randn(4, 8, 10, requires_grad=True)
    loss, count = objective.loss(outputs, ALTERNATIVES)
    assert count == 12
    assert torch.equal(loss, step_cross_entropy(outputs, first_references(ALTERNATIVES, END), 0.1)[0])
    loss.backward()
    assert outputs.grad is not None
    assert torch.equal(outputs.grad.abs().sum(-1) > 0, first_references(ALTERNATIVES, END) != IGNORE)


def test_metrics_of_phonemes_are_word_and_phoneme_error_rate() -> None:
    metrics = SequenceCrossEntropy(Sequence(tuple("pust456789"), unit="phoneme")).metrics()
    for rows in (slice(0, 1), slice(1, 4)):
        metrics.update(HYPOTHESES[rows], ALTERNATIVES[rows])
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"wer": 0.5, "per": 0.5, "token_accuracy": 4 / 12})


def test_tag_and_sequence_targets_are_not_interchangeable() -> None:
    with pytest.raises(InputError, match="TagCrossEntropy does not support targets of type Sequence"):
        TagCrossEntropy(Sequence(("<pad>", "<unk>", "<start>", "<end>")))
    with pytest.raises(InputError, match="SequenceCrossEntropy does not support targets of type Tags"):
        SequenceCrossEntropy(Tags(("NOUN", "VERB")))


def compute(metric: Metric, predictions: Tensor, targets: Tensor) -> float:
    """Returns the value of a metric after one batch."""
    metric.update(predictions, targets)
    return metric.compute().item()
