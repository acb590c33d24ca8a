"""Language-model metrics. All tokens carry the same weight, whatever batch they are in."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from primer.spec import IGNORE, UNKNOWN


class Perplexity(Metric):
    """The exponential of the mean negative log-likelihood per token (Jelinek et al. 1977): the number of equally likely
    tokens that would be as hard to predict."""

    higher_is_better: bool | None = False
    nll_sum: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll_sum", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor) -> None:
        """Updates the state with logits ``(batch, time, words)`` and targets ``(batch, time)``; ignores predictions."""
        self.nll_sum += nll_sum(outputs, targets)
        self.tokens += (targets != IGNORE).sum()

    def compute(self) -> Tensor:
        return (self.nll_sum / self.tokens).exp()


class BitsPerCharacter(Metric):
    """The negative log-likelihood in bits per character (Graves 2013), which is comparable between vocabularies.

    Args:
        vocabulary: the tokens, whose lengths give the number of characters; an unknown token counts as one character.
    """

    higher_is_better: bool | None = False
    bits: Tensor
    characters: Tensor
    lengths: Tensor

    def __init__(self, vocabulary: tuple[str, ...]) -> None:
        super().__init__()
        lengths = torch.tensor([max(1, len(token)) for token in vocabulary])
        lengths[UNKNOWN] = 1
        self.register_buffer("lengths", lengths, persistent=False)
        self.add_state("bits", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("characters", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, outputs: Tensor) -> None:
        """Updates the state; see ``Perplexity.update``."""
        self.bits += nll_sum(outputs, targets) / math.log(2)
        self.characters += self.lengths[targets[targets != IGNORE]].sum()

    def compute(self) -> Tensor:
        return self.bits / self.characters


def nll_sum(outputs: Tensor, targets: Tensor) -> Tensor:
    """Returns the summed negative log-likelihood of all tokens, in nats."""
    return F.cross_entropy(outputs.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum")
