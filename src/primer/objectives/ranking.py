"""Metrics of predicted probabilities: how well they rank samples, how well they are calibrated, and the threshold.

Scores are counted in bins, on the device and in bounded memory, which changes the areas by about 0.001. Bins of
log-odds, unlike bins of probabilities, also separate the scores of a confident network, which are nearly all close to 0
or 1; they are narrowest around even odds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from primer.objectives.class_metrics import balanced_accuracy, binary_scores, matthews_correlation

LIMIT, FINE = 20.0, 0.5
"""Log-odds are counted between -LIMIT and LIMIT; those beyond are in the outermost bins. The width of the bins grows in
proportion to log-odds that are larger than FINE."""

MAX_BINS, MIN_BINS, MAX_CELLS = 4096, 128, 400_000
"""The number of bins per class, and the approximate number of bins of all classes."""

MAX_SHOWN = 20
"""The maximum number of classes whose scores are kept apart for a picture."""

CONFIDENCE_BINS = 10

LogProbabilities = Callable[[Tensor], Tensor]


def score_bins(log_probabilities: Tensor, bins: int = MAX_BINS) -> Tensor:
    """Returns the bins of the log-odds of log-probabilities of any shape, from 0 to ``bins - 1``."""
    log_odds = log_probabilities - (-torch.expm1(log_probabilities)).log()
    position = (log_odds / FINE).asinh() / math.asinh(LIMIT / FINE)
    return ((position + 1) * (bins / 2)).clamp(0, bins - 1).long().clamp(0, bins - 1)


def bin_probability(edge: int, bins: int = MAX_BINS) -> float:
    """Returns the probability at the lower edge of a bin."""
    return 1 / (1 + math.exp(-FINE * math.sinh((2 * edge / bins - 1) * math.asinh(LIMIT / FINE))))


class Ranking(Metric):
    """The area under the ROC curve and the average precision, of the positive class or averaged over all classes that
    occur, each against the rest. Also returns the counted scores, from which both curves can be drawn.

    Args:
        classes: the number of classes.
        log_probabilities: converts outputs to the log-probability of each class, ``(batch, classes)``.
        positive: the only class to consider; None for all.
    """

    higher_is_better: bool | None = True
    scalar_names = ("auroc", "average_precision")
    scores: Tensor

    def __init__(self, classes: int, log_probabilities: LogProbabilities, positive: int | None = None) -> None:
        super().__init__()
        self.classes = list(range(classes)) if positive is None else [positive]
        self.bins = max(MIN_BINS, min(MAX_BINS, MAX_CELLS // len(self.classes)))
        self.log_probabilities = log_probabilities
        empty = torch.zeros(len(self.classes), self.bins, 2, dtype=torch.long)
        self.add_state("scores", empty, dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor | None = None) -> None:
        """Counts the scores of a batch: outputs ``(batch, …)`` and classes ``(batch,)``."""
        if outputs is None or targets.ndim != 1:
            return
        logs = self.log_probabilities(outputs)
        logs = logs if len(self.classes) == logs.shape[1] else logs[:, self.classes]
        classes = torch.tensor(self.classes, device=targets.device)
        count_scores(self.scores, score_bins(logs, self.bins), targets[:, None] == classes)

    def compute(self) -> dict[str, Tensor]:
        """Returns the scores counted in bins, ``(classes, bins, 2)``, and the two scalars if there are samples of and
        outside of a class."""
        totals = self.scores.sum(1)
        judged = self.scores[(totals > 0).all(1)]
        if not len(judged):
            return {}
        precision, recall, false_alarms = curves(judged)
        steps = recall.diff(dim=1, prepend=torch.zeros_like(recall[:, :1]))
        widths = false_alarms.diff(dim=1, prepend=torch.zeros_like(recall[:, :1]))
        auroc = (widths * (recall - steps / 2)).sum(1)
        shown = self.scores if len(self.scores) <= MAX_SHOWN else self.scores.sum(0, keepdim=True)
        return {"auroc": auroc.mean(), "average_precision": (steps * precision).sum(1).mean(), "scores": shown}


class Calibration(Metric):
    """The expected calibration error (Guo et al. 2017): how far the confidence of predictions is from the fraction of
    them that is correct, on average. Also returns, for ten bins of confidence, the number of predictions, how many are
    correct, and the sum of their confidences.

    Args:
        log_probabilities: converts outputs to the log-probability of each class, ``(batch, classes)``.
    """

    higher_is_better: bool | None = False
    scalar_names = ("calibration_error",)
    reliability: Tensor

    def __init__(self, log_probabilities: LogProbabilities) -> None:
        super().__init__()
        self.log_probabilities = log_probabilities
        self.add_state("reliability", torch.zeros(CONFIDENCE_BINS, 3), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor | None = None) -> None:
        """Counts a batch: outputs ``(batch, …)`` and classes ``(batch,)``."""
        if outputs is None or targets.ndim != 1:
            return
        confidence, predicted = self.log_probabilities(outputs).max(1)
        confidence = confidence.exp().nan_to_num()
        rows = torch.stack([torch.ones_like(confidence), (predicted == targets).float(), confidence], 1)
        bins = (confidence * CONFIDENCE_BINS).long().clamp(0, CONFIDENCE_BINS - 1)
        self.reliability.index_add_(0, bins, rows)

    def compute(self) -> dict[str, Tensor]:
        count, correct, confidence = self.reliability.unbind(1)
        if not count.sum():
            return {}
        return {
            "calibration_error": (correct - confidence).abs().sum() / count.sum(),
            "reliability": self.reliability,
        }


class TunedScores(Metric):
    """The metrics of two classes at a threshold that is chosen when a validation pass ends: of all thresholds, the one
    with the highest F1 of the positive class.

    Args:
        positive: the index of the positive class.
        log_probabilities: converts outputs to the log-probability of each class, ``(batch, 2)``.
        cutoff: scalar, the lowest bin of scores that are predicted as positive; overwritten in validation.
    """

    higher_is_better: bool | None = True
    scalar_names = ("accuracy", "balanced_accuracy", "mcc", "precision", "recall", "f1")
    scores: Tensor

    def __init__(self, positive: int, log_probabilities: LogProbabilities, cutoff: Callable[[], Tensor]) -> None:
        super().__init__()
        self.positive, self.log_probabilities, self.cutoff = positive, log_probabilities, cutoff
        self.chooses = False
        self.add_state("scores", torch.zeros(1, MAX_BINS, 2, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor) -> None:
        """Counts the scores of a batch: outputs ``(batch, …)`` and classes ``(batch,)``."""
        logs = self.log_probabilities(outputs)[:, [self.positive]]
        count_scores(self.scores, score_bins(logs), targets[:, None] == self.positive)

    def compute(self) -> dict[str, Tensor]:
        if self.chooses:
            self.cutoff().fill_(choose_cutoff(self.scores[0]))
        above = torch.arange(MAX_BINS, device=self.scores.device) >= self.cutoff()
        counts = torch.stack([self.scores[0][~above].sum(0), self.scores[0][above].sum(0)], 1)
        confusion = counts if self.positive else counts.flip(0, 1)
        accuracy = confusion.diagonal().sum() / confusion.sum().clamp(min=1)
        scores = {"balanced_accuracy": balanced_accuracy(confusion), "mcc": matthews_correlation(confusion)}
        return {"confusion": confusion, "accuracy": accuracy, **scores, **binary_scores(confusion, self.positive)}


def choose_cutoff(scores: Tensor) -> Tensor:
    """Returns the bin from which on samples are predicted as positive so that F1 is highest; of several, the one
    closest to a probability of 1/2.

    Args:
        scores: ``(bins, 2)``, the number of negative and of positive samples in each bin.
    """
    predicted = scores.flip(0).cumsum(0).flip(0)
    f1 = 2 * predicted[:, 1] / (predicted.sum(1) + scores[:, 1].sum()).clamp(min=1)
    distance = (torch.arange(len(scores), device=scores.device) - len(scores) // 2).abs()
    return torch.where(f1 == f1.max(), distance, len(scores)).argmin()


def curves(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns precision, recall (the true-positive rate) and the false-positive rate of each class at each threshold,
    from the highest to the lowest, each ``(classes, bins)``.

    Args:
        scores: ``(classes, bins, 2)``, the number of samples outside of and in the class in each bin.
    """
    false, true = scores.flip(1).cumsum(1).unbind(2)
    precision = true / (true + false).clamp(min=1)
    return precision, true / true[:, -1:].clamp(min=1), false / false[:, -1:].clamp(min=1)


def count_scores(counts: Tensor, bins: Tensor, positive: Tensor) -> None:
    """Adds the bins and the membership of samples, both ``(batch, classes)``, to counts ``(classes, bins, 2)``."""
    classes = torch.arange(bins.shape[1], device=bins.device)
    cells = ((classes * counts.shape[1] + bins) * 2 + positive).flatten()
    counts.view(-1).scatter_add_(0, cells, torch.ones_like(cells))


def ranking_metrics(classes: int, log_probabilities: LogProbabilities, positive: int | None) -> dict[str, Any]:
    """Returns the metrics of predicted probabilities."""
    return {
        "ranking": Ranking(classes, log_probabilities, positive),
        "calibration": Calibration(log_probabilities),
    }
