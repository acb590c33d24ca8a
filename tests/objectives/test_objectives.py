"""Losses and metrics agree with hand-computed values and with scikit-learn."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from primer.errors import InputError
from primer.objectives import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    GaussianNLL,
    Huber,
    Objective,
    SequenceCrossEntropy,
    TagCrossEntropy,
    auto,
    cross_entropy,
)
from primer.objectives.class_metrics import report
from primer.objectives.regression import R2
from primer.spec import IGNORE, Classes, NextToken, NoTarget, Sequence, Tags, Target, Values

TWO, THREE = Classes(("no", "yes")), Classes(("a", "b", "c"))
UNIT, SCALED = Values(("x", "y")), Values(("x", "y"), (10.0, -1.0), (2.0, 0.5))


def loss_value(objective: Objective, outputs: Tensor, targets: Tensor) -> float:
    loss, count = objective.loss(outputs, targets)
    assert int(count) == (
        len(targets) if targets.ndim == 1 or targets.is_floating_point() else (targets != IGNORE).sum()
    )
    return loss.item()


def compute_metrics(objective: Objective, predictions: Tensor, targets: Tensor, chunks: int = 1) -> dict[str, Tensor]:
    metrics = objective.metrics()
    for chunk, expected in zip(predictions.chunk(chunks), targets.chunk(chunks), strict=True):
        metrics.update(chunk, expected)
    return metrics.compute()


# Choice of objective.


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (THREE, CrossEntropy),
        (Tags(("a", "b")), TagCrossEntropy),
        (Sequence(("<pad>", "<unk>", "<s>", "</s>")), SequenceCrossEntropy),
        (UNIT, MSE),
    ],
)
def test_default_objective_of_each_target(target: Target, kind: type[Objective]) -> None:
    assert type(auto(target)) is kind
    assert type(auto(target, label_smoothing=0.1)) is kind
    if kind is not MSE:
        assert type(cross_entropy(target, label_smoothing=0.1)) is kind
        assert cross_entropy(target, 0.1).settings()["label_smoothing"] == 0.1


@pytest.mark.parametrize(
    ("build", "target", "message"),
    [
        (MSE, THREE, "MSE does not support targets of type Classes"),
        (CrossEntropy, UNIT, "CrossEntropy does not support targets of type Values"),
        (TagCrossEntropy, THREE, "TagCrossEntropy does not support targets of type Classes"),
        (BinaryCrossEntropy, THREE, "binary cross-entropy requires 2 classes, not 3: use objective=cross_entropy"),
        (cross_entropy, UNIT, "cross-entropy does not support targets of type Values"),
        (cross_entropy, NoTarget(), "cross-entropy does not support targets of type NoTarget"),
    ],
)
def test_unsupported_targets_are_rejected(build: type[Objective], target: Target, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(target)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (CrossEntropy, TWO),
        (BinaryCrossEntropy, TWO),
        (TagCrossEntropy, Tags(("a",))),
        (SequenceCrossEntropy, Sequence(("<pad>", "<unk>", "<s>", "</s>"))),
    ],
)
@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, 1.5])
def test_invalid_label_smoothing_is_rejected(kind: type[Objective], target: Target, label_smoothing: float) -> None:
    with pytest.raises(InputError, match="label_smoothing must be at least 0 and less than 1"):
        kind(target, label_smoothing=label_smoothing)  # type: ignore[call-arg]


def test_delta_must_be_positive() -> None:
    with pytest.raises(InputError, match="delta must be greater than 0, not 0"):
        Huber(UNIT, delta=0)


@pytest.mark.parametrize(
    ("objective", "outputs"),
    [
        (CrossEntropy(THREE), 3),
        (CrossEntropy(TWO), 2),
        (BinaryCrossEntropy(TWO), 1),
        (TagCrossEntropy(Tags(("a", "b"))), 2),
        (SequenceCrossEntropy(Sequence(("<pad>", "<unk>", "<s>", "</s>", "a"))), 5),
        (MSE(UNIT), 2),
        (MAE(UNIT), 2),
        (Huber(UNIT), 2),
        (GaussianNLL(UNIT), 4),
    ],
)
def test_number_of_outputs(objective: Objective, outputs: int) -> None:
    assert objective.outputs == outputs
    rebuilt = type(objective)(objective.target, **objective.settings())
    assert rebuilt.outputs == outputs
    assert not objective.state_dict()


# Classes.


def test_cross_entropy_matches_hand_computed_value() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    targets = torch.tensor([0, 2])
    first, second = math.log(1 + 2 * math.exp(-2)), math.log(3)
    assert loss_value(CrossEntropy(THREE), logits, targets) == pytest.approx((first + second) / 2)
    # A tenth of the target probability is spread over all three classes: -sum of q log p.
    smooth = 0.9 * first + 0.1 / 3 * (first + 2 * (first + 2))
    smoothed = CrossEntropy(THREE, label_smoothing=0.1)
    assert loss_value(smoothed, logits, targets) == pytest.approx((smooth + second) / 2)
    assert torch.equal(smoothed.predict(logits), torch.tensor([0, 0]))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_bce_equals_cross_entropy_with_two_classes(label_smoothing: float) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(20, 1), torch.randint(0, 2, (20,))
    two_logits = torch.cat([torch.zeros(20, 1), logits], 1)
    binary, multi = (kind(TWO, label_smoothing=label_smoothing) for kind in (BinaryCrossEntropy, CrossEntropy))
    assert loss_value(binary, logits, targets) == pytest.approx(loss_value(multi, two_logits, targets), rel=1e-6)
    assert torch.equal(binary.predict(logits), multi.predict(two_logits))


def test_bce_with_a_single_sample() -> None:
    loss, count = BinaryCrossEntropy(TWO).loss(torch.tensor([[0.0]]), torch.tensor([1]))
    assert (loss.item(), count) == (pytest.approx(math.log(2)), 1)


@given(
    classes=st.integers(2, 5), seed=st.integers(0, 1000), size=st.integers(5, 60), chunks=st.integers(1, 3)
)  # fmt: skip
def test_class_metrics_match_scikit_learn(classes: int, seed: int, size: int, chunks: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets, predictions = (torch.randint(0, classes, (size,), generator=generator) for _ in range(2))
    metrics = compute_metrics(CrossEntropy(Classes(tuple("abcde"[:classes]))), predictions, targets, chunks)
    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(targets, predictions))
    average = "binary" if classes == 2 else "macro"
    expected = sklearn.metrics.precision_recall_fscore_support(targets, predictions, average=average, zero_division=0)  # type: ignore[arg-type]
    for name, score in zip(("precision", "recall", "f1"), expected, strict=False):
        assert metrics[name] == pytest.approx(score, abs=1e-6), name
    confusion = sklearn.metrics.confusion_matrix(targets, predictions, labels=range(classes))
    assert np.array_equal(metrics["confusion"], confusion)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = sklearn.metrics.balanced_accuracy_score(targets, predictions)
    assert metrics["balanced_accuracy"] == pytest.approx(balanced, abs=1e-6)
    assert metrics["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(targets, predictions), abs=1e-5)


def test_padding_does_not_change_tag_loss_or_metrics() -> None:
    objective = TagCrossEntropy(Tags(("a", "b", "c")))
    torch.manual_seed(0)
    logits = torch.randn(4, 6, 3)
    targets = torch.randint(0, 3, (4, 6))
    targets[0, 2:] = targets[3, 5:] = IGNORE
    real = targets != IGNORE
    log_p = logits.log_softmax(-1)[real]
    expected = -log_p[torch.arange(len(log_p)), targets[real]].mean()
    assert loss_value(objective, logits, targets) == pytest.approx(expected.item())
    metrics = compute_metrics(objective, objective.predict(logits), targets, chunks=2)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(-1)[real] == targets[real]).float().mean().item())
    assert metrics["confusion"].sum() == real.sum()
    two = TagCrossEntropy(Tags(("a", "b")))
    targets = targets.clamp(max=1)
    metrics = compute_metrics(two, two.predict(logits[..., :2]), targets)
    assert metrics["confusion"].sum() == real.sum()
    assert metrics["accuracy"] == pytest.approx(
        (logits[..., :2].argmax(-1)[real] == targets[real]).float().mean().item()
    )


@pytest.mark.parametrize("names", [("N", "V"), ("N", "V", "X"), ("N",)])
def test_tag_metrics_are_macro_averaged_for_any_number_of_tags(names: tuple[str, ...]) -> None:
    objective = TagCrossEntropy(Tags(names))
    generator = torch.Generator().manual_seed(0)
    targets, predictions = (torch.randint(0, len(names), (4, 6), generator=generator) for _ in range(2))
    metrics = compute_metrics(objective, predictions, targets, chunks=2)
    expected = sklearn.metrics.precision_recall_fscore_support(
        targets.flatten(), predictions.flatten(), average="macro"
    )
    for name, score in zip(("precision", "recall", "f1"), expected, strict=False):
        assert metrics[name] == pytest.approx(score, abs=1e-6), name


class NoDouble(TorchDispatchMode):
    """Fails on 64-bit floats, which some devices do not support."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = pytree.tree_leaves(result)
        assert not any(isinstance(leaf, Tensor) and leaf.dtype == torch.float64 for leaf in leaves), func
        return result


WORDS = ("<pad>", "<unk>", "<start>", "<end>", "a")


@pytest.mark.parametrize(
    "target",
    [TWO, THREE, SCALED, Values(("y t+1", "y t+2"), (1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (0.7, 0.7), (0, 0)),
     Tags(("O", "B-X", "I-X")), Sequence(WORDS), Sequence(WORDS, unit="phoneme"), NextToken(WORDS)],
    ids=str,
)  # fmt: skip
def test_loss_and_metrics_do_not_use_double_precision(target: Target) -> None:
    objective = auto(target)
    steps = () if isinstance(target, Classes | Values) else (3,)
    outputs = torch.randn(4, *steps, objective.outputs)
    targets = torch.randint(0, 2, (4, *steps)) if not isinstance(target, Values) else torch.randn(4, objective.outputs)
    inputs = torch.randn(4, 3, 1) if isinstance(target, Values) else torch.randint(0, 5, (4, 3))
    metrics = objective.metrics()
    with NoDouble():
        objective.loss(outputs, targets)
        metrics.update(objective.predict(outputs), targets, inputs=inputs, outputs=outputs)
        metrics.compute()


HIGHER_IS_BETTER = {
    **dict.fromkeys(("accuracy", "precision", "recall", "f1", "accuracy_unknown"), True),
    **dict.fromkeys(("balanced_accuracy", "mcc", "auroc", "average_precision"), True),
    "calibration_error": False,
    **dict.fromkeys(("entity_precision", "entity_recall", "entity_f1"), True),
    **dict.fromkeys(("exact_match", "token_accuracy", "r2"), True),
    **dict.fromkeys(("edit_distance_rate", "wer", "per", "perplexity", "bits_per_character"), False),
    **dict.fromkeys(("hit_rate_at_10", "ndcg_at_10", "mrr"), True),
    **dict.fromkeys(("mse", "rmse", "mae", "mase", "mase_seasonal", "relative_mae"), False),
}


def test_every_scalar_metric_has_a_direction() -> None:
    forecast = Values(("y t+1",), (1.0,), (2.0,), naive=(0.5,), seasonal=(0.7,), continues=(0,))
    objectives = [
        *(auto(target) for target in (TWO, THREE, forecast, Tags(("O", "B-X", "I-X")), Sequence(WORDS))),
        *(auto(target) for target in (Sequence(WORDS, unit="phoneme"), NextToken(WORDS), NextToken(WORDS, "item"))),
        BinaryCrossEntropy(TWO),
        CrossEntropy(TWO, threshold="auto"),
        *(kind(forecast) for kind in (MAE, Huber, GaussianNLL)),
    ]
    directions: dict[str, bool | None] = {}
    for objective in objectives:
        for name, metric in objective.metrics().items():
            for scalar in getattr(metric, "scalar_names", (name,)):
                assert metric.higher_is_better is not None, scalar
                assert metric.higher_is_better == directions.setdefault(scalar, metric.higher_is_better), scalar
        assert set(objective.scalar_names()) <= directions.keys()
    assert directions == HIGHER_IS_BETTER


def test_loss_of_only_padding_is_zero() -> None:
    objective = TagCrossEntropy(Tags(("a", "b")))
    loss, count = objective.loss(torch.zeros(1, 2, 2), torch.full((1, 2), IGNORE))
    assert (loss.item(), int(count)) == (0.0, 0)


def test_classification_report() -> None:
    confusion = torch.tensor([[8, 2, 0], [1, 4, 0], [0, 0, 0]])
    lines = report(confusion, ("cat", "elephant", "dog")).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["class", "precision", "recall", "f1", "count"]
    assert lines[1].split() == ["cat", "0.8889", "0.8000", "0.8421", "10"]
    assert lines[2].split() == ["elephant", "0.6667", "0.8000", "0.7273", "5"]
    assert lines[3].split() == ["dog", "0.0000", "0.0000", "0.0000", "0"]


# Values.


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (MSE(SCALED), (1 + 4 + 0 + 9) / 4),
        (MAE(SCALED), (1 + 2 + 0 + 3) / 4),
        (Huber(SCALED, delta=1.0), (0.5 + 1.5 + 0 + 2.5) / 4),
        (Huber(SCALED, delta=2.0), (0.5 + 2.0 + 0 + 4.0) / 4),
    ],
)
def test_losses_use_standardized_values(objective: Objective, expected: float) -> None:
    outputs = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    targets = torch.tensor([[10.0, -1.0], [10.0, -1.0]])  # The means: 0 when standardized.
    assert loss_value(objective, outputs, targets) == pytest.approx(expected)
    assert torch.allclose(objective.predict(outputs), torch.tensor([[12.0, -2.0], [10.0, 0.5]]))
    assert loss_value(objective, (targets - torch.tensor([10.0, -1.0])) / torch.tensor([2.0, 0.5]), targets) == 0.0


def test_values_without_moments_are_not_standardized() -> None:
    outputs, targets = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])
    assert loss_value(MSE(UNIT), outputs, targets) == 2.0
    assert torch.equal(MSE(UNIT).predict(outputs), outputs)


def test_gaussian_nll_is_the_negative_log_density() -> None:
    objective = GaussianNLL(SCALED)
    torch.manual_seed(0)
    outputs, targets = torch.randn(6, 4), torch.randn(6, 2)
    mean, std = outputs[:, :2], (outputs[:, 2:] / 2).exp()
    standardized = (targets - torch.tensor([10.0, -1.0])) / torch.tensor([2.0, 0.5])
    expected = -torch.distributions.Normal(mean, std).log_prob(standardized).mean()
    assert loss_value(objective, outputs, targets) == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(objective.predict(outputs), mean * torch.tensor([2.0, 0.5]) + torch.tensor([10.0, -1.0]))
    assert torch.allclose(objective.standard_deviation(outputs), std * torch.tensor([2.0, 0.5]))


@pytest.mark.parametrize("objective", [MSE(SCALED), GaussianNLL(SCALED)])
def test_rescaled_outputs_describe_the_rescaled_distribution(objective: Any) -> None:
    torch.manual_seed(0)
    outputs, mean, std = torch.randn(6, objective.outputs), torch.randn(6, 2), torch.rand(6, 2) + 0.5
    rescaled = objective.rescale(outputs, mean, std)
    values, unit = torch.tensor([10.0, -1.0]), torch.tensor([2.0, 0.5])
    predictions = (objective.predict(outputs) - values) / unit * std + mean
    torch.testing.assert_close(objective.predict(rescaled), predictions * unit + values)
    if isinstance(objective, GaussianNLL):
        torch.testing.assert_close(objective.standard_deviation(rescaled), objective.standard_deviation(outputs) * std)


def test_gaussian_nll_is_lowest_at_the_true_standard_deviation() -> None:
    torch.manual_seed(0)
    targets = 3.0 * torch.randn(20_000, 1)
    objective = GaussianNLL(Values(("x",)))
    losses = {
        s: loss_value(objective, torch.tensor([[0.0, 2 * math.log(s)]]).expand(20_000, 2), targets) for s in (2, 3, 4)
    }
    assert losses[3] < min(losses[2], losses[4])


@pytest.mark.parametrize("chunks", [1, 4])
@pytest.mark.parametrize("columns", [1, 3])
def test_regression_metrics_match_scikit_learn(columns: int, chunks: int) -> None:
    torch.manual_seed(0)
    targets = torch.randn(20, columns) * 5
    predictions = targets + torch.randn(20, columns)
    metrics = compute_metrics(MSE(Values(tuple("xyz"[:columns]))), predictions, targets, chunks)
    assert metrics["mse"] == pytest.approx(sklearn.metrics.mean_squared_error(targets, predictions), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(float(metrics["mse"]) ** 0.5, rel=1e-5)
    assert metrics["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(targets, predictions), rel=1e-5)
    assert metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(targets, predictions), rel=1e-4)


@pytest.mark.parametrize(("level", "scale"), [(0.0, 1e-5), (101_325.0, 10.0), (-10_000.0, 5.0), (0.0, 1e5)])
def test_r2_does_not_depend_on_the_unit(level: float, scale: float) -> None:
    torch.manual_seed(0)
    targets = level + scale * torch.randn(500, 1)
    predictions = targets + scale * torch.randn(500, 1) / 2
    metrics = compute_metrics(MSE(Values(("x",), (level,), (scale,))), predictions, targets, 4)
    assert metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(targets.double(), predictions.double()), abs=1e-3)


def test_r2_of_one_sample_is_nan() -> None:
    metric = R2(torch.zeros(1), torch.ones(1))
    metric.update(torch.ones(1, 1), torch.ones(1, 1))
    assert metric.compute().isnan()
    metric.update(torch.zeros(1, 1), torch.zeros(1, 1))
    assert metric.compute() == 1.0


def test_regression_has_buffers_but_no_parameters() -> None:
    objective = MSE(SCALED)
    assert {name for name, _ in objective.named_buffers()} == {"mean", "std"}
    assert not list(objective.parameters())
    assert objective.to(torch.float64).mean.dtype == torch.float64
