"""Masked language modeling on a text file."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from primer.batch import Batch
from primer.data.base import DataModule, Part
from primer.data.loading.loader import Loader
from primer.data.text.masking import Maskable
from primer.data.text.text import Text
from primer.spec import PADDING, MaskedToken


class MaskedText(Text, Maskable):
    """A text file, cut into sequences in which tokens are hidden; by default, the Python documentation.

    Args:
        masked: see ``primer.data.text.masking.Maskable``.
        sequence_length: tokens of a sequence.
        **kwargs: see ``primer.data.text.text.Text``.
    """

    targets = MaskedToken

    def __init__(self, *, masked: float = 0.15, sequence_length: int = 64, **kwargs: Any) -> None:
        super().__init__(masked=masked, sequence_length=sequence_length, **kwargs)

    def encode(self, records: Any) -> Batch:
        tokens = super().encode(records).inputs
        rows = tokens.split(self.sequence_length) if len(tokens) else ()
        if not rows:
            return Batch(tokens[None][:0], None, torch.zeros(0, dtype=torch.int64))
        return Batch(pad_sequence(list(rows), True, PADDING), None, torch.tensor([len(row) for row in rows]))

    def loader(self, part: Part, train: bool, bucket: bool = True) -> Loader:
        return DataModule.loader(self, part, train, bucket)
