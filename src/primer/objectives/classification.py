"""One class for each sample."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryF1Score,
    BinaryPrecision,
    BinaryRecall,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.spec import IGNORE, Classes, Tags, Target


class Smoothed(Objective):
    """The base of the cross-entropies, with label smoothing (Szegedy et al. 2016, section 7): the true class gets less
    than all of the target. It is for training: in evaluation mode the loss is the plain one, so that losses of
    validation and test compare between runs with and without it.

    Args:
        target: what is to be predicted.
        label_smoothing: the share of the target that is spread evenly over all classes.

    Raises:
        ValueError: where that share is less than 0, or 1 or more.
    """

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target)
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing must be at least 0 and less than 1, not {label_smoothing}")
        self.label_smoothing = label_smoothing

    @property
    def smoothing(self) -> float:
        """The share that is spread now: none in evaluation mode."""
        return self.label_smoothing if self.training else 0.0

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


class CrossEntropy(Smoothed):
    """The cross-entropy between the softmax of the logits and the true class, ``(batch,)``, or the shares of classes
    that mixed images have, ``(batch, classes)``.

    With two classes, precision, recall and F1 are those of the second; with more, the mean over the classes.

    Args:
        target: the classes.
        label_smoothing: as in ``Smoothed``.
    """

    targets = Classes

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Classes | Tags)
        self.names = target.names

    @property
    def outputs(self) -> int:
        return len(self.names)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return F.cross_entropy(outputs, targets, label_smoothing=self.smoothing), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """The logarithm of the probability of each class, ``(..., classes)``."""
        return F.log_softmax(outputs.float(), -1)

    def metrics(self) -> MetricCollection:
        return class_metrics(len(self.names))


class BinaryCrossEntropy(Smoothed):
    """The cross-entropy between the logistic sigmoid of one logit and a class of two (0 or 1), ``(batch,)``, or the
    shares of both that mixed images have, ``(batch, 2)``.

    Args:
        target: two classes; the logit is the log-odds of the second.
        label_smoothing: as in ``Smoothed``.

    Raises:
        ValueError: where there are not two classes.
    """

    targets = Classes

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Classes)
        if len(target.names) != 2:
            raise InputError(
                f"binary cross-entropy is for 2 classes, not {len(target.names)}: use objective=cross_entropy"
            )

    @property
    def outputs(self) -> int:
        return 1

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        second = targets if targets.ndim == 1 else targets[:, 1]
        wanted = second * (1 - self.smoothing) + self.smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), wanted.to(outputs.dtype)), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return (outputs.squeeze(-1) > 0).long()

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """The logarithm of the probability of each class, ``(batch, 2)``."""
        return F.logsigmoid(torch.cat([-outputs, outputs], -1).float())

    def metrics(self) -> MetricCollection:
        return class_metrics(2)


class ConfusionMatrix(MulticlassConfusionMatrix):
    """How often each class was taken for each: no number to watch."""

    scalar_names = ()


def class_metrics(classes: int, one_of_two: bool = True) -> MetricCollection:
    """Accuracy, precision, recall, F1 and the confusion matrix; targets of ``IGNORE`` do not count.

    Args:
        classes: how many there are.
        one_of_two: whether precision, recall and F1 are those of the second class where there are two, and not the
            mean over both.
    """
    some: dict[str, Any] = {"confusion": ConfusionMatrix(max(classes, 2), ignore_index=IGNORE, validate_args=False)}
    if one_of_two and classes <= 2:
        kinds = {"accuracy": BinaryAccuracy, "precision": BinaryPrecision, "recall": BinaryRecall, "f1": BinaryF1Score}
        some |= {name: kind(ignore_index=IGNORE, validate_args=False) for name, kind in kinds.items()}
    else:
        classes = max(classes, 2)
        some["accuracy"] = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE, validate_args=False)
        kinds = {"precision": MulticlassPrecision, "recall": MulticlassRecall, "f1": MulticlassF1Score}
        some |= {
            name: kind(classes, average="macro", ignore_index=IGNORE, validate_args=False)
            for name, kind in kinds.items()
        }
    return MetricCollection(some)


def report(confusion: Tensor, names: tuple[str, ...]) -> str:
    """Precision, recall, F1 and count of each class, from a confusion matrix with a row for each true class."""
    width = max(len("class"), *(len(name) for name in names))
    lines = [f"{'class':{width}}  precision  recall      f1   count"]
    for k, name in enumerate(names):
        hits, predicted, true = (x.item() for x in (confusion[k, k], confusion[:, k].sum(), confusion[k].sum()))
        precision, recall, f1 = (hits / total if total else 0.0 for total in (predicted, true, (predicted + true) / 2))
        lines.append(f"{name:{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {int(true):6d}")
    return "\n".join(lines) + "\n"
