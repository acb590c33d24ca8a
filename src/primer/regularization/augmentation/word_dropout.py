"""Word dropout."""

from __future__ import annotations

import torch
from torch import Generator

from primer.batch import Batch
from primer.regularization.augmentation.base import Augmentation, check_scalar
from primer.spec import PADDING, UNKNOWN, Classes, NoTarget, Sequence, Spec, Tags, Tokens, Values


class WordDropout(Augmentation):
    """Replaces words by the unknown token independently at random, so that a model does not rely on single words (Iyyer
    et al. 2015, section 3.1, where words are removed; Bowman et al. 2016) and learns a representation of unknown words.
    If words come with their letters, those are kept, so that a model learns to use the spelling, as Lample et al.
    (2016) do for words that occur once. Padding is not changed.

    Args:
        probability: probability of replacement, per word.

    Raises:
        InputError: if ``probability`` is not from 0 to 1.
    """

    inputs = Tokens
    targets = Classes | Tags | Sequence | Values | NoTarget

    def __init__(self, probability: float = 0.1) -> None:
        self.probability = check_scalar("WordDropout: probability", probability)

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        tokens = batch.inputs.clone()
        words = tokens[..., 0] if tokens.ndim == 3 else tokens
        draws = torch.rand(words.shape, generator=generator, device=words.device)
        words.masked_fill_((draws < self.probability) & (words != PADDING), UNKNOWN)
        return batch._replace(inputs=tokens)
