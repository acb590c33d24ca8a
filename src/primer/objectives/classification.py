"""Classification: cross-entropy losses."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from primer.errors import InputError
from primer.objectives.base import Objective
from primer.objectives.class_metrics import class_metrics
from primer.objectives.ranking import MAX_BINS, TunedScores, bin_probability, ranking_metrics, score_bins
from primer.spec import Classes, Target


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


class Classification(Smoothed):
    """Base class for cross-entropy losses of class labels.

    Targets are class indices, ``(batch,)``, or class probabilities, ``(batch, classes)``, as produced by mixup and
    cutmix. With two classes, precision, recall, F1, AUROC and average precision are those of the positive class
    (``data.positive``); with more, they are averaged over the classes, each counting the same.

    Args:
        target: the classes.
        label_smoothing: see ``Smoothed``.
        class_weights: ``balanced`` weights the loss of each sample in training by the inverse frequency of its class in
            the training part, as scikit-learn does, so that rare classes count as much as frequent ones. In evaluation
            mode the loss is unweighted.
        threshold: with two classes, the probability from which on the positive class is predicted; ``auto`` chooses the
            one with the highest F1 in each validation pass, and keeps it in the checkpoint. None predicts the most
            likely class.

    Raises:
        InputError: if a setting is out of range, or there is a threshold but more than two classes.
    """

    targets = Classes
    weights: Tensor
    cutoff: Tensor

    def __init__(
        self,
        target: Target,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | None = None,
        threshold: float | Literal["auto"] | None = None,
    ) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Classes)
        if class_weights not in (None, "balanced"):
            raise InputError(f"class_weights must be balanced or null, not {class_weights!r}")
        if threshold is not None and threshold != "auto" and (isinstance(threshold, str) or not 0 < threshold < 1):
            raise InputError(f"threshold must be greater than 0 and less than 1, auto or null, not {threshold!r}")
        self.names = target.names
        self.positive = target.positive if len(target.names) == 2 else None
        if threshold is not None and self.positive is None:
            raise InputError(f"threshold={threshold}: a threshold requires 2 classes, not {len(target.names)}")
        if class_weights and not target.counts:
            raise InputError("class_weights=balanced: the number of samples of each class is unknown")
        self.class_weights, self.threshold = class_weights, threshold
        self.register_buffer("weights", balanced_weights(target.counts) if class_weights else None, persistent=False)
        # In the checkpoint, only if it is chosen rather than configured: the lowest bin that is predicted as positive.
        self.register_buffer("cutoff", torch.tensor(MAX_BINS // 2) if threshold == "auto" else None)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the log-probability of each class, ``(batch, classes)``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement log_probabilities")

    def decide(self, outputs: Tensor) -> Tensor:
        """Returns the predicted classes at the threshold; only if there is one."""
        assert self.positive is not None
        logs = self.log_probabilities(outputs)[:, self.positive]
        if self.threshold == "auto":
            above = score_bins(logs) >= self.cutoff
        else:
            assert isinstance(self.threshold, float)
            above = logs.exp() >= self.threshold
        return above.long() if self.positive else 1 - above.long()

    def chosen_threshold(self) -> float | None:
        """Returns the probability from which on the positive class is predicted; None without a threshold."""
        return bin_probability(int(self.cutoff)) if self.threshold == "auto" else self.threshold  # type: ignore[return-value]

    def tune(self, metrics: MetricCollection) -> None:
        for metric in metrics.values(copy_state=False):
            if isinstance(metric, TunedScores):
                metric.chooses = True

    def metrics(self) -> MetricCollection:
        classes = len(self.names)
        if self.threshold == "auto":
            assert self.positive is not None
            tuned = TunedScores(self.positive, self.log_probabilities, lambda: self.cutoff)
            metrics = MetricCollection({"tuned": tuned})
        else:
            metrics = class_metrics(classes, self.positive)
        metrics.add_metrics(ranking_metrics(max(classes, 2), self.log_probabilities, self.positive))
        return metrics

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"class_weights": self.class_weights, "threshold": self.threshold}


class CrossEntropy(Classification):
    """Cross-entropy between the softmax of the logits and the targets."""

    @property
    def outputs(self) -> int:
        return len(self.names)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        weights = self.weights if self.training else None
        if weights is None:
            return F.cross_entropy(outputs, targets, label_smoothing=self.smoothing), len(targets)
        # PyTorch would weight each class of a smoothed or mixed target by itself, which favors rare classes in all
        # samples, and divide by the sum of the weights, so that the loss would depend on the classes in a batch.
        losses = F.cross_entropy(outputs, targets, label_smoothing=self.smoothing, reduction="none")
        of_samples = weights[targets] if targets.ndim == 1 else targets.to(weights.dtype) @ weights
        return (losses * of_samples).mean(), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1) if self.threshold is None else self.decide(outputs)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        return F.log_softmax(outputs.float(), -1)


class BinaryCrossEntropy(Classification):
    """Cross-entropy between the logistic sigmoid of a single logit and the targets. The logit is the log-odds of the
    second class, whichever class is positive.

    Raises:
        InputError: if there are not exactly two classes.
    """

    def __init__(self, target: Target, **kwargs: Any) -> None:
        if isinstance(target, Classes) and len(target.names) != 2:
            raise InputError(
                f"binary cross-entropy requires 2 classes, not {len(target.names)}: use objective=cross_entropy"
            )
        super().__init__(target, **kwargs)

    @property
    def outputs(self) -> int:
        return 1

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        probability = targets if targets.ndim == 1 else targets[:, 1]
        smoothed = (probability * (1 - self.smoothing) + self.smoothing / 2).to(outputs.dtype)
        weights = None
        if self.training and self.weights is not None:
            weights = (self.weights[0] + (self.weights[1] - self.weights[0]) * probability).to(outputs.dtype)
        return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), smoothed, weights), len(targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return (outputs.squeeze(-1) > 0).long() if self.threshold is None else self.decide(outputs)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        return F.logsigmoid(torch.cat([-outputs, outputs], -1).float())


def balanced_weights(counts: tuple[int, ...]) -> Tensor:
    """Returns the inverse frequency of each class, such that their mean over all samples is 1; 0 for a class without
    samples."""
    numbers = torch.tensor(counts, dtype=torch.float32)
    present = (numbers > 0).sum()
    return torch.where(numbers > 0, numbers.sum() / (present * numbers.clamp(min=1)), 0.0)
