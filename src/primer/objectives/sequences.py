"""One class for each step, and sequences of their own length."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from primer.objectives.classification import CrossEntropy, Smoothed, class_metrics
from primer.objectives.language import BitsPerCharacter, Perplexity
from primer.objectives.metrics import EditDistanceRate, ExactMatch, TokenAccuracy, WordErrorRate, first_answers
from primer.objectives.tagging import tag_metrics
from primer.spec import IGNORE, NextToken, Sequence, Tags, Target


class TagCrossEntropy(CrossEntropy):
    """Cross-entropy for each step of a sequence, without padding: outputs ``(batch, time, tags)``. Words are judged by
    their tags, precision, recall and F1 as the mean over all of these, and those that are unknown by themselves; tags
    that mark entities, by the entities too."""

    targets = Tags

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def metrics(self) -> MetricCollection:
        metrics = class_metrics(len(self.names), one_of_two=False)
        metrics.add_metrics(tag_metrics(self.names))
        return metrics


class SequenceCrossEntropy(Smoothed):
    """Cross-entropy for each step of the sequence to be produced, without padding: outputs ``(batch, time, words)``.
    Of several right answers the first is learnt; a prediction is judged by the nearest.

    Args:
        target: the sequences. Where their tokens are phonemes, the metrics are the word and the phoneme error rate.
        label_smoothing: as in ``Smoothed``.
    """

    targets = Sequence

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Sequence)
        self.words, self.end, self.unit = len(target.vocabulary), target.end, target.unit

    @property
    def outputs(self) -> int:
        return self.words

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, first_answers(targets, self.end), self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        phonemes = self.unit == "phoneme"
        return MetricCollection(
            {
                "wer" if phonemes else "exact_match": (WordErrorRate if phonemes else ExactMatch)(self.end),
                "per" if phonemes else "edit_distance_rate": EditDistanceRate(self.end),
                "token_accuracy": TokenAccuracy(self.end),
            }
        )


class NextTokenCrossEntropy(Smoothed):
    """Cross-entropy between each step's outputs, ``(batch, time, words)``, and the token that comes next.

    Args:
        target: the vocabulary.
        label_smoothing: as in ``Smoothed``.
    """

    targets = NextToken

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, NextToken)
        self.vocabulary, self.unit = target.vocabulary, target.unit

    @property
    def outputs(self) -> int:
        return len(self.vocabulary)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        metrics = MetricCollection({"accuracy": TokenAccuracy(), "perplexity": Perplexity()})
        if self.unit == "character":
            metrics.add_metrics({"bits_per_character": BitsPerCharacter(self.vocabulary)})
        return metrics


def step_cross_entropy(outputs: Tensor, targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy over the steps that count, and their number."""
    count = (targets != IGNORE).sum()
    loss = F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing, reduction="sum"
    )
    return loss / count.clamp(min=1), count
