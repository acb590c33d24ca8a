"""One class for each step, and sequences of their own length."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection

from primer.objectives.classification import CrossEntropy, Smoothed
from primer.objectives.language import BitsPerCharacter, Perplexity
from primer.objectives.metrics import EditDistanceRate, ExactMatch, TokenAccuracy
from primer.spec import IGNORE, NextToken, Sequence, Tags, Target


class TagCrossEntropy(CrossEntropy):
    """Cross-entropy for each step of a sequence, without padding: outputs ``(batch, time, tags)``."""

    targets = Tags

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)


class SequenceCrossEntropy(Smoothed):
    """Cross-entropy for each step of the sequence to be produced, without padding: outputs ``(batch, time, words)``.

    Args:
        target: the sequences.
        label_smoothing: as in ``Smoothed``.
    """

    targets = Sequence

    def __init__(self, target: Target, label_smoothing: float = 0.0) -> None:
        super().__init__(target, label_smoothing)
        assert isinstance(target, Sequence)
        self.words, self.end = len(target.vocabulary), target.end

    @property
    def outputs(self) -> int:
        return self.words

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        return MetricCollection(
            {
                "exact_match": ExactMatch(self.end),
                "edit_distance_rate": EditDistanceRate(self.end),
                "token_accuracy": TokenAccuracy(),
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
        self.vocabulary = target.vocabulary

    @property
    def outputs(self) -> int:
        return len(self.vocabulary)

    def loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | int]:
        return step_cross_entropy(outputs, targets, self.smoothing)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def metrics(self) -> MetricCollection:
        return MetricCollection(
            {
                "accuracy": TokenAccuracy(),
                "perplexity": Perplexity(),
                "bits_per_character": BitsPerCharacter(self.vocabulary),
            }
        )


def step_cross_entropy(outputs: Tensor, targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy over the steps that count, and their number."""
    count = (targets != IGNORE).sum()
    loss = F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing, reduction="sum"
    )
    return loss / count.clamp(min=1), count
