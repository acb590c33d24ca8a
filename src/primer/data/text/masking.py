"""Masked language modeling on any data set of tokens: some tokens are hidden, and are the targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part
from primer.data.loading.stream import Stream
from primer.errors import InputError
from primer.regularization.augmentation import Augmentation
from primer.spec import IGNORE, UNKNOWN, MaskedToken, Spec, Tokens

MASK = "<mask>"
"""The entry of the vocabulary that replaces a hidden token. It is the last one."""


class Masking(Augmentation):
    """Hides tokens anew in each batch (dynamic masking: Liu et al. 2019), as ``mask_tokens`` does."""

    inputs = Tokens
    targets = MaskedToken

    def __call__(self, batch: Batch, generator: Generator, spec: Spec) -> Batch:
        assert isinstance(spec.target, MaskedToken)
        return mask_tokens(batch, spec.target, generator)


class Maskable(DataModule):
    """Base class of data sets of tokens that can hide tokens instead of providing their own targets.

    The training part is masked anew in every epoch. The others are masked once, by ``split_seed``, so that metrics are
    comparable between epochs and runs.

    Args:
        masked: fraction of the tokens of each sequence that are hidden, such as 0.15; None for the targets of the data.
        **kwargs: see ``primer.data.base.DataModule``.

    Raises:
        InputError: if ``masked`` is not between 0 and 1.
    """

    def __init__(self, *, masked: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if masked is not None and not 0 < masked < 1:
            raise InputError(f"masked must be between 0 and 1, or null, not {masked}")
        self.masked = masked
        if masked is not None:
            self.augmentation.append(Masking())
        self._evaluated: dict[Part, Batch] = {}

    def setup(self, stage: str | None = None) -> None:
        if self.parts:
            return
        super().setup(stage)
        if self.masked is None:
            return
        tokens = self.spec.input
        assert isinstance(tokens, Tokens)
        if tokens.characters:
            raise InputError("data.masked hides words, but not their letters: set data.characters=false")
        vocabulary = (*tokens.vocabulary, MASK)
        self._spec = Spec(replace(tokens, vocabulary=vocabulary), MaskedToken(vocabulary, self.masked))
        for part, data in self.parts.items():
            assert isinstance(data, Batch)
            self.parts[part] = data._replace(targets=None)

    def stored(self, part: Part, train: bool) -> Batch | Stream:
        if self.masked is None or train:
            return super().stored(part, train)
        if part not in self._evaluated:
            data, target = self.parts[part], self.spec.target
            assert isinstance(data, Batch)
            assert isinstance(target, MaskedToken)
            self._evaluated[part] = mask_tokens(data, target, torch.Generator().manual_seed(self.split_seed))
        return self._evaluated[part]


def mask_tokens(batch: Batch, target: MaskedToken, generator: Generator) -> Batch:
    """Chooses a fraction of the known tokens of each sequence, at least one, as targets, and ignores all others. Of the
    chosen tokens, 80 % are replaced by the mask, 10 % by a random token, and 10 % are kept, so that a model cannot
    assume that tokens which it sees are right (Devlin et al. 2019, section 3.1).

    Args:
        batch: tokens ``(batch, time)``.
        target: the vocabulary, whose last entry is the mask, and the fraction.
        generator: source of randomness, on the device of the batch.
    """
    tokens, device = batch.inputs, batch.inputs.device
    order, fate = torch.rand((2, *tokens.shape), generator=generator, device=device)
    known = tokens > UNKNOWN
    # The tokens with the lowest of the random numbers: an exact fraction of each sequence, without a loop.
    rank = order.masked_fill(~known, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = known & (rank < target.chosen(known.sum(1, keepdim=True)))
    mask = len(target.vocabulary) - 1
    random = torch.randint(UNKNOWN + 1, mask, tokens.shape, generator=generator, device=device) if mask > 2 else tokens
    shown = torch.where(fate < 0.8, mask, torch.where(fate < 0.9, random, tokens))
    targets: Tensor = tokens.masked_fill(~chosen, IGNORE)
    return batch._replace(inputs=torch.where(chosen, shown, tokens), targets=targets)
