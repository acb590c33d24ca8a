"""Metrics of predicted classes, all computed from the confusion matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from primer.spec import IGNORE


class ConfusionMatrix(MulticlassConfusionMatrix):
    """The confusion matrix, a row per true class. It is not a scalar, so it cannot be monitored.

    Args:
        classes: the number of classes. Targets equal to ``IGNORE`` are ignored.
    """

    scalar_names: tuple[str, ...] = ()
    higher_is_better = None

    def __init__(self, classes: int) -> None:
        super().__init__(classes, ignore_index=IGNORE, validate_args=False)


class BalancedAccuracy(ConfusionMatrix):
    """The mean recall of the classes that occur, so that each counts the same, however rare."""

    scalar_names = ("balanced_accuracy",)
    higher_is_better = True

    def compute(self) -> Tensor:
        return balanced_accuracy(super().compute())


class MatthewsCorrelation(ConfusionMatrix):
    """Matthews correlation coefficient (Matthews 1975; Gorodkin 2004): 1 for perfect predictions, 0 for predictions
    that are independent of the targets, such as those of the majority class. torchmetrics' own returns other values
    than 0 for the latter."""

    scalar_names = ("mcc",)
    higher_is_better = True

    def compute(self) -> Tensor:
        return matthews_correlation(super().compute())


class BinaryScores(ConfusionMatrix):
    """Precision, recall and F1 of one of two classes, each 0 if its denominator is 0.

    Args:
        positive: the index of the class.
    """

    scalar_names = ("precision", "recall", "f1")
    higher_is_better = True

    def __init__(self, positive: int) -> None:
        super().__init__(2)
        self.positive = positive

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        return binary_scores(super().compute(), self.positive)


def class_metrics(classes: int, positive: int | None = None, balanced: bool = True) -> MetricCollection:
    """Returns accuracy, precision, recall, F1 and the confusion matrix. Targets equal to ``IGNORE`` are ignored.

    Args:
        classes: the number of classes.
        positive: of two classes, the one whose precision, recall and F1 are computed; None for macro averages.
        balanced: whether to add balanced accuracy and Matthews correlation.
    """
    classes = max(classes, 2)
    settings: dict[str, Any] = {"ignore_index": IGNORE, "validate_args": False}
    metrics: dict[str, Any] = {
        "confusion": ConfusionMatrix(classes),
        "accuracy": MulticlassAccuracy(classes, average="micro", **settings),
    }
    if balanced:
        metrics |= {"balanced_accuracy": BalancedAccuracy(classes), "mcc": MatthewsCorrelation(classes)}
    if positive is not None:
        metrics["binary"] = BinaryScores(positive)
    else:
        kinds = {"precision": MulticlassPrecision, "recall": MulticlassRecall, "f1": MulticlassF1Score}
        metrics |= {name: kind(classes, average="macro", **settings) for name, kind in kinds.items()}
    return MetricCollection(metrics)


def balanced_accuracy(confusion: Tensor) -> Tensor:
    """Returns the mean recall of the classes that occur."""
    true = confusion.sum(1)
    recall = confusion.diagonal() / true.clamp(min=1)
    return recall.sum() / (true > 0).sum().clamp(min=1)


def matthews_correlation(confusion: Tensor) -> Tensor:
    """Returns Matthews correlation coefficient; 0 if all predictions or all targets are the same."""
    total, correct = confusion.sum(), confusion.diagonal().sum()
    true, predicted = confusion.sum(1), confusion.sum(0)
    spread = (total**2 - (true**2).sum()).float().sqrt() * (total**2 - (predicted**2).sum()).float().sqrt()
    covariance = (correct * total - (true * predicted).sum()).float()
    return torch.where(spread > 0, covariance / spread.clamp(min=1), 0.0)


def binary_scores(confusion: Tensor, positive: int) -> dict[str, Tensor]:
    """Returns precision, recall and F1 of one of two classes."""
    correct = confusion[positive, positive]
    predicted, true = confusion[:, positive].sum(), confusion[positive].sum()
    return {
        "precision": correct / predicted.clamp(min=1),
        "recall": correct / true.clamp(min=1),
        "f1": 2 * correct / (predicted + true).clamp(min=1),
    }


def per_class(confusion: Tensor, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns precision, recall, F1 and count of each class, given a confusion matrix with a row per true class."""
    rows = []
    for k, name in enumerate(names):
        counts = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        correct, predicted, true = (count.item() for count in counts)
        scores = (correct / total if total else 0.0 for total in (predicted, true, (predicted + true) / 2))
        rows.append(
            {"class": name, **dict(zip(("precision", "recall", "f1"), scores, strict=True)), "count": int(true)}
        )
    return rows


def report(confusion: Tensor, names: tuple[str, ...]) -> str:
    """Formats the result of ``per_class`` as a table."""
    width = max(len("class"), *(len(name) for name in names))
    lines = [f"{'class':{width}}  precision  recall      f1   count"]
    for row in per_class(confusion, names):
        scores = f"{row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:6.4f}"
        lines.append(f"{row['class']:{width}}  {scores}  {row['count']:6d}")
    return "\n".join(lines) + "\n"
