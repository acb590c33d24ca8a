"""One class for each sample."""

from __future__ import annotations

from typing import Any

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


class CrossEntropy(Objective):
    """The cross-entropy between the softmax of the logits and the true class.

    With two classes, precision, recall and F1 are those of the second; with more, the mean over the classes.

    Args:
        target: the classes.
        label_smoothing: the share of the target that is spread evenly over all classes (Szegedy et al. 2016).
    """

    targets = Classes

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target)
        assert isinstance(target, Classes | Tags)
        self.names = target.names
        self.label_smoothing = check_smoothing(label_smoothing)

    @property
    def outputs(self) -> int:
        return len(self.names)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        return class_metrics(len(self.names))

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


class BinaryCrossEntropy(Objective):
    """The cross-entropy between the logistic sigmoid of one logit and a class of two (0 or 1).

    Args:
        target: two classes; the logit is the log-odds of the second.
        label_smoothing: as in ``CrossEntropy``.

    Raises:
        ValueError: where there are not two classes.
    """

    targets = Classes

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target)
        assert isinstance(target, Classes)
        if len(target.names) != 2:
            raise InputError(
                f"binary cross-entropy is for 2 classes, not {len(target.names)}: use objective=cross_entropy"
            )
        self.label_smoothing = check_smoothing(label_smoothing)

    @property
    def outputs(self) -> int:
        return 1

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        wanted = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), wanted.to(outputs.dtype)), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return (outputs.squeeze(-1) > 0).long()

    def metrics(self) -> MetricCollection:
        return class_metrics(2)

    def settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


def check_smoothing(share: float) -> float:
    """The share of label smoothing. Raises ``ValueError`` unless it is at least 0 and less than 1."""
    if not 0 <= share < 1:
        raise InputError(f"label_smoothing must be at least 0 and less than 1, not {share}")
    return share


def class_metrics(classes: int) -> MetricCollection:
    """Accuracy, precision, recall, F1 and the confusion matrix; targets of ``IGNORE`` do not count."""
    some: dict[str, Any] = {
        "confusion": MulticlassConfusionMatrix(max(classes, 2), ignore_index=IGNORE, validate_args=False)
    }
    if classes <= 2:
        kinds = {"accuracy": BinaryAccuracy, "precision": BinaryPrecision, "recall": BinaryRecall, "f1": BinaryF1Score}
        some |= {name: kind(ignore_index=IGNORE, validate_args=False) for name, kind in kinds.items()}
    else:
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
