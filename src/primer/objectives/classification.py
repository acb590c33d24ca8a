"""Classification: cross-entropy losses and class metrics."""

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
    """Base class for cross-entropy losses with label smoothing (Szegedy et al. 2016, section 7).

    Smoothing applies in training mode only. In evaluation mode the loss is unsmoothed, so validation and test losses
    are comparable between runs with and without smoothing.

    Args:
        target: the target specification.
        label_smoothing: the fraction of the target probability that is spread evenly over all classes.

    Raises:
        InputError: if ``label_smoothing`` is not in [0, 1).
    """

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target)
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing must be at least 0 and less than 1, not {label_smoothing}")
        self.label_smoothing = label_smoothing

    @property
    def smoothing(self) -> float:
        """The label smoothing in effect: 0 in evaluation mode."""
        return self.label_smoothing if self.training else 0.0

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


class CrossEntropy(Smoothed):
    """Cross-entropy between the softmax of the logits and the targets.

    Targets are class indices, ``(batch,)``, or class probabilities, ``(batch, classes)``, as produced by mixup and
    cutmix. With two classes, precision, recall and F1 are those of the second class; with more, they are
    macro-averaged.

    Args:
        target: the classes.
        label_smoothing: see ``Smoothed``.
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
        """Returns the log-probability of each class, ``(..., classes)``."""
        return F.log_softmax(outputs.float(), -1)

    def metrics(self) -> MetricCollection:
        return class_metrics(len(self.names))


class BinaryCrossEntropy(Smoothed):
    """Cross-entropy between the logistic sigmoid of a single logit and the targets.

    Targets are class indices (0 or 1), ``(batch,)``, or class probabilities, ``(batch, 2)``, as produced by mixup and
    cutmix.

    Args:
        target: two classes; the logit is the log-odds of the second.
        label_smoothing: see ``Smoothed``.

    Raises:
        InputError: if there are not exactly two classes.
    """

    targets = Classes

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Classes)
        if len(target.names) != 2:
            raise InputError(
                f"binary cross-entropy requires 2 classes, not {len(target.names)}: use objective=cross_entropy"
            )

    @property
    def outputs(self) -> int:
        return 1

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        probability = targets if targets.ndim == 1 else targets[:, 1]
        smoothed = probability * (1 - self.smoothing) + self.smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), smoothed.to(outputs.dtype)), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return (outputs.squeeze(-1) > 0).long()

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the log-probability of each class, ``(batch, 2)``."""
        return F.logsigmoid(torch.cat([-outputs, outputs], -1).float())

    def metrics(self) -> MetricCollection:
        return class_metrics(2)


class ConfusionMatrix(MulticlassConfusionMatrix):
    """The confusion matrix, a row per true class. It is not a scalar, so it cannot be monitored."""

    scalar_names = ()
    higher_is_better = None


def class_metrics(classes: int, binary: bool = True) -> MetricCollection:
    """Returns accuracy, precision, recall, F1 and the confusion matrix. Targets equal to ``IGNORE`` are ignored.

    Args:
        classes: the number of classes.
        binary: whether, with two classes, precision, recall and F1 are those of the second class rather than
            macro-averaged.
    """
    metrics: dict[str, Any] = {"confusion": ConfusionMatrix(max(classes, 2), ignore_index=IGNORE, validate_args=False)}
    if binary and classes <= 2:
        kinds = {"accuracy": BinaryAccuracy, "precision": BinaryPrecision, "recall": BinaryRecall, "f1": BinaryF1Score}
        metrics |= {name: kind(ignore_index=IGNORE, validate_args=False) for name, kind in kinds.items()}
    else:
        classes = max(classes, 2)
        metrics["accuracy"] = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE, validate_args=False)
        kinds = {"precision": MulticlassPrecision, "recall": MulticlassRecall, "f1": MulticlassF1Score}
        metrics |= {
            name: kind(classes, average="macro", ignore_index=IGNORE, validate_args=False)
            for name, kind in kinds.items()
        }
    return MetricCollection(metrics)


def report(confusion: Tensor, names: tuple[str, ...]) -> str:
    """Formats precision, recall, F1 and count per class, given a confusion matrix with a row per true class."""
    width = max(len("class"), *(len(name) for name in names))
    lines = [f"{'class':{width}}  precision  recall      f1   count"]
    for k, name in enumerate(names):
        counts = confusion[k, k], confusion[:, k].sum(), confusion[k].sum()
        correct, predicted, true = (count.item() for count in counts)
        precision, recall, f1 = (
            correct / total if total else 0.0 for total in (predicted, true, (predicted + true) / 2)
        )
        lines.append(f"{name:{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {int(true):6d}")
    return "\n".join(lines) + "\n"
