"""Sequence objectives: tags per time step, whole sequences, and next-token prediction."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from primer.objectives.class_metrics import class_metrics
from primer.objectives.classification import Smoothed
from primer.objectives.language import BitsPerCharacter, Perplexity
from primer.objectives.metrics import EditDistanceRate, ExactMatch, TokenAccuracy, WordErrorRate, first_references
from primer.objectives.next_item import NextItemRanking
from primer.objectives.tagging import tag_metrics
from primer.spec import IGNORE, UNKNOWN, MaskedToken, NextToken, Sequence, Tags, Target


class TagCrossEntropy(Smoothed):
    """Cross-entropy per time step, ignoring padding; outputs are ``(batch, time, tags)``.

    Precision, recall and F1 are macro-averaged over all tags. Accuracy is also reported for unknown words alone, and,
    if the tags mark entities, precision, recall and F1 of the entities.
    """

    targets = Tags

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Tags)
        self.names = target.names

    @property
    def outputs(self) -> int:
        return len(self.names)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def metrics(self) -> MetricCollection:
        metrics = class_metrics(len(self.names), balanced=False)
        metrics.add_metrics(tag_metrics(self.names))
        return metrics


class SequenceCrossEntropy(Smoothed):
    """Cross-entropy per step of the target sequence, ignoring padding; outputs are ``(batch, time, words)``.

    If there are several references, the loss uses the first; predictions are compared with the nearest.

    Args:
        target: the sequences. For phonemes, the metrics are the word error rate and the phoneme error rate.
        label_smoothing: see ``Smoothed``.
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
        return step_cross_entropy(outputs, first_references(targets, self.end), self.smoothing)

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
    """Cross-entropy for next-token prediction; outputs are ``(batch, time, words)``.

    If tokens are items, the metrics are those of recommendation, and unknown items do not count in the loss, since they
    cannot be recommended.

    Args:
        target: the vocabulary.
        label_smoothing: see ``Smoothed``.
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
        if self.unit == "item":
            targets = targets.masked_fill(targets == UNKNOWN, IGNORE)
        return step_cross_entropy(outputs, targets, self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        if self.unit == "item":
            return MetricCollection({"ranking": NextItemRanking()})
        metrics = MetricCollection({"accuracy": TokenAccuracy(), "perplexity": Perplexity()})
        if self.unit == "character":
            metrics.add_metrics({"bits_per_character": BitsPerCharacter(self.vocabulary)})
        return metrics


class MaskedTokenCrossEntropy(Smoothed):
    """Cross-entropy of the hidden tokens; outputs are ``(batch, time, words)``. Perplexity is that of a hidden token
    given the others, which is not comparable to that of a language model.

    Args:
        target: the vocabulary.
        label_smoothing: see ``Smoothed``.
    """

    targets = MaskedToken

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, MaskedToken)
        self.vocabulary = target.vocabulary

    @property
    def outputs(self) -> int:
        return len(self.vocabulary)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        return MetricCollection({"accuracy": TokenAccuracy(), "perplexity": Perplexity()})


def step_cross_entropy(outputs: Tensor, targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """Returns the mean cross-entropy over the steps that are not ``IGNORE``, and the number of those steps."""
    count = (targets != IGNORE).sum()
    loss = F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing, reduction="sum"
    )
    return loss / count.clamp(min=1), count
