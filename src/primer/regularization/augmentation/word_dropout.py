"""Some words of each sequence become unknown."""

from __future__ import annotations

import torch
from torch import Generator

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, check_share
from primer.spec import PADDING, UNKNOWN, Classes, NoTarget, Sequence, Spec, Tags, Tokens, Values


class WordDropout(Augmentation):
    """Makes words unknown at random, each by itself, so that a model learns to do without any of them (Iyyer et al.
    2015, section 3.1, where they are left out; Bowman et al. 2016), and what to make of one that is not in the
    vocabulary. Where words come with their spelling, it stays: a model then learns to tell a word by its letters, as
    Lample et al. (2016) do for words that occur once. Padding stays padding.

    Args:
        probability: of each word to become unknown.

    Raises:
        ValueError: where that is no probability.
    """

    inputs = Tokens
    targets = Classes | Tags | Sequence | Values | NoTarget

    def __init__(self, probability: float = 0.1) -> None:
        self.probability = check_share("the probability of a word dropout", probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        tokens = batch.inputs.clone()
        words = tokens[..., 0] if tokens.ndim == 3 else tokens
        chance = torch.rand(words.shape, generator=generator, device=words.device)
        words.masked_fill_((chance < self.probability) & (words != PADDING), UNKNOWN)
        return batch._replace(inputs=tokens)
