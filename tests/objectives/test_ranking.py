"""Metrics of probabilities agree with scikit-learn, and a chosen threshold is the best one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from torch import Tensor

from primer.errors import InputError
from primer.objectives import BinaryCrossEntropy, CrossEntropy, Objective, auto
from primer.spec import Classes, Tags

TWO, FOUR = Classes(("no", "yes")), Classes(("a", "b", "c", "d"))


def evaluate(objective: Objective, outputs: Tensor, targets: Tensor, chunks: int = 3) -> dict[str, Tensor]:
    metrics = objective.metrics()
    for some, expected in zip(outputs.chunk(chunks), targets.chunk(chunks), strict=True):
        metrics.update(objective.predict(some), expected, outputs=some, inputs=some)
    objective.tune(metrics)
    return metrics.compute()


def skewed(positives: int, size: int = 4000, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Returns logits that are higher for the positive samples, of which there are few."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(size, dtype=torch.long)
    targets[:positives] = 1
    logits = torch.randn(size, generator=generator) + 2.0 * targets - 3
    shuffled = torch.randperm(size, generator=generator)
    return scale * logits[shuffled, None], targets[shuffled]


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0], ids=["unsure", "plain", "confident"])
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("logits", [1, 2])
def test_binary_ranking_matches_scikit_learn(logits: int, positive: int, scale: float) -> None:
    outputs, targets = skewed(120, scale=scale)
    target = Classes(("no", "yes"), positive)
    objective = BinaryCrossEntropy(target) if logits == 1 else CrossEntropy(target)
    given = outputs if logits == 1 else torch.cat([torch.zeros_like(outputs), outputs], 1)
    metrics = evaluate(objective, given, targets)
    scores = outputs.squeeze(1) * (1 if positive else -1)
    of_class = targets == positive
    assert metrics["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(of_class, scores), abs=1e-3)
    expected = sklearn.metrics.average_precision_score(of_class, scores)
    assert metrics["average_precision"] == pytest.approx(expected, abs=2e-3)
    predictions = (outputs.squeeze(1) > 0).long()
    expected = sklearn.metrics.precision_recall_fscore_support(
        targets,
        predictions,
        average="binary",
        pos_label=positive,
        zero_division=0.0,  # type: ignore[arg-type]
    )
    for name, score in zip(("precision", "recall", "f1"), expected, strict=False):
        assert metrics[name] == pytest.approx(score, abs=1e-6), name


def test_ranking_of_several_classes_matches_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(0, 4, (3000,), generator=generator)
    outputs = torch.randn(3000, 4, generator=generator) + 1.5 * torch.nn.functional.one_hot(targets, 4)
    metrics = evaluate(CrossEntropy(FOUR), outputs, targets)
    probabilities = outputs.softmax(1)
    expected = sklearn.metrics.roc_auc_score(targets, probabilities, multi_class="ovr")
    assert metrics["auroc"] == pytest.approx(expected, abs=1e-3)
    expected = sklearn.metrics.average_precision_score(torch.nn.functional.one_hot(targets, 4), probabilities)
    assert metrics["average_precision"] == pytest.approx(expected, abs=2e-3)
    confidence, predicted = probabilities.max(1)
    bins = (confidence * 10).long().clamp(max=9)
    gaps = [
        ((predicted == targets)[bins == k].float().mean() - confidence[bins == k].mean()).abs() * (bins == k).sum()
        for k in bins.unique()
    ]
    assert metrics["calibration_error"] == pytest.approx((sum(gaps) / 3000).item(), abs=1e-5)  # type: ignore[union-attr]


def test_absent_classes_do_not_count() -> None:
    outputs, targets = torch.randn(50, 4), torch.randint(0, 2, (50,))
    expected = np.mean([sklearn.metrics.roc_auc_score(targets == k, outputs.softmax(1)[:, k]) for k in (0, 1)])
    assert evaluate(CrossEntropy(FOUR), outputs, targets)["auroc"] == pytest.approx(expected, abs=1e-3)
    metrics = evaluate(CrossEntropy(FOUR), outputs, torch.zeros(50, dtype=torch.long))
    assert "auroc" not in metrics
    assert metrics["mcc"] == 0


def test_outputs_that_are_not_finite_do_not_stop_the_metrics() -> None:
    outputs = torch.full((6, 4), torch.nan)
    assert "auroc" in evaluate(CrossEntropy(FOUR), outputs, torch.tensor([0, 1, 2, 3, 0, 1]))


def test_majority_class_scores_as_a_guess() -> None:
    outputs, targets = skewed(40)
    metrics = evaluate(BinaryCrossEntropy(TWO), torch.full_like(outputs, -4.0), targets)
    assert metrics["accuracy"] == pytest.approx(0.99)
    assert {name: metrics[name].item() for name in ("balanced_accuracy", "mcc", "f1", "auroc")} == {
        "balanced_accuracy": 0.5, "mcc": 0, "f1": 0, "auroc": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("logits", [1, 2])
def test_chosen_threshold_has_the_highest_f1(logits: int, positive: int) -> None:
    outputs, targets = skewed(120)
    outputs, targets = (outputs, targets) if positive else (-outputs, 1 - targets)
    kind, target = (BinaryCrossEntropy if logits == 1 else CrossEntropy), Classes(("no", "yes"), positive)
    given = outputs if logits == 1 else torch.cat([torch.zeros_like(outputs), outputs], 1)
    plain, tuned = kind(target), kind(target, threshold="auto")
    before, after = evaluate(plain, given, targets), evaluate(tuned, given, targets)
    scores = (outputs if positive else -outputs).squeeze(1)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(targets == positive, scores)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert after["f1"] == pytest.approx(best, abs=5e-3)
    assert after["f1"] > before["f1"] + 0.1
    # The metrics are those of the predictions, and the threshold survives in the state dict.
    restored = kind(target, **tuned.settings())
    restored.load_state_dict(tuned.state_dict())
    predictions = restored.predict(given)
    for name, expected in (
        ("accuracy", sklearn.metrics.accuracy_score(targets, predictions)),
        ("balanced_accuracy", sklearn.metrics.balanced_accuracy_score(targets, predictions)),
        ("mcc", sklearn.metrics.matthews_corrcoef(targets, predictions)),
        ("f1", sklearn.metrics.f1_score(targets, predictions, pos_label=positive)),
    ):
        assert after[name] == pytest.approx(expected, abs=1e-5), name
    assert np.array_equal(after["confusion"], sklearn.metrics.confusion_matrix(targets, predictions))
    threshold = restored.chosen_threshold()
    assert threshold is not None
    assert 0.05 < threshold < 0.5


def test_fixed_threshold() -> None:
    outputs = torch.tensor([[-2.0], [-1.0], [0.5]])
    objective = BinaryCrossEntropy(TWO, threshold=0.2)
    assert objective.predict(outputs).tolist() == [0, 1, 1]
    assert not objective.state_dict()
    negative = BinaryCrossEntropy(Classes(("no", "yes"), positive=0), threshold=0.8)
    assert negative.predict(outputs).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CrossEntropy(TWO, threshold=1.0), "threshold must be greater than 0 and less than 1"),
        (lambda: CrossEntropy(FOUR, threshold=0.3), "a threshold requires 2 classes, not 4"),
        (lambda: CrossEntropy(TWO, class_weights="even"), "class_weights must be balanced or null"),  # type: ignore[arg-type]
        (lambda: CrossEntropy(TWO, class_weights="balanced"), "number of samples of each class is unknown"),
        (lambda: auto(Tags(("a", "b")), threshold="auto"), "objective.threshold=auto has no effect"),
        (lambda: auto(Tags(("a", "b")), class_weights="balanced"), "objective.class_weights=balanced has no effect"),
    ],
)
def test_invalid_settings_are_rejected(build: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize("counts", [(90, 10), (10, 50, 0)])
def test_class_weights_give_every_class_the_same_loss(counts: tuple[int, ...]) -> None:
    target = Classes(tuple("abc"[: len(counts)]), counts=counts)
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    outputs = torch.randn(len(targets), len(counts))
    kinds = [CrossEntropy(target, class_weights="balanced")]
    kinds += [BinaryCrossEntropy(target, class_weights="balanced")] if len(counts) == 2 else []  # type: ignore[list-item]
    for objective in kinds:
        given = outputs[:, : objective.outputs]
        plain = type(objective)(target)
        losses = [plain.loss(given[targets == k], targets[targets == k])[0] for k, n in enumerate(counts) if n]
        assert objective.loss(given, targets)[0].item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
        objective.eval()
        assert objective.loss(given, targets)[0] == plain.loss(given, targets)[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_apply_to_samples_whose_targets_are_smoothed_or_mixed(smoothing: float) -> None:
    """A softmax over 0 and a logit is the sigmoid of the logit, so both losses are the same."""
    target = Classes(("a", "b"), counts=(99, 1))
    logits, labels = torch.randn(50, 1), torch.randint(2, (50,))
    mixed = torch.rand(50, 1)
    binary = BinaryCrossEntropy(target, class_weights="balanced", label_smoothing=smoothing)
    softmax = CrossEntropy(target, class_weights="balanced", label_smoothing=smoothing)
    two = torch.cat([torch.zeros(50, 1), logits], 1)
    for targets in (labels, torch.cat([1 - mixed, mixed], 1)):
        torch.testing.assert_close(softmax.loss(two, targets)[0], binary.loss(logits, targets)[0])
