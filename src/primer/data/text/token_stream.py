"""Base class of language modeling data sets, and a loader for truncated backpropagation through time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part
from primer.data.loading.loader import Loader, fits_on_device
from primer.data.readers.vocabulary import SPECIAL
from primer.errors import InputError
from primer.spec import IGNORE, NextToken, Spec, Tokens


class TokenStreamLoader(Loader):
    """Yields batches for truncated backpropagation through time (Williams and Peng 1990).

    The sequence is cut into streams of equal length, which are the rows of a batch. Each batch continues where the
    previous one ended, so that a model can carry its state. Each token except the first is a target once per epoch. If
    the streams differ in length, the last batch has targets to be ignored.

    With ``shuffle``, the sequence is treated as a ring, and each epoch starts at a different position, so that the
    boundaries between streams and between batches move. The successor of the last token is never a target.

    With several processes, each takes its own streams.

    Args:
        tokens: ``(tokens,)``, the sequence.
        streams: rows of a batch, summed over processes.
        sequence_length: time steps of a batch.
        context: additional time steps of a batch that precede the others, and whose targets are ignored.
        shuffle: whether each epoch starts at a random position, which depends only on the seed and the epoch.
        **settings: see ``Loader``.

    Raises:
        InputError: if ``streams`` is less than 1, or less than the number of processes when shuffling.
    """

    def __init__(
        self,
        tokens: Tensor,
        streams: int,
        sequence_length: int,
        *,
        context: int = 0,
        shuffle: bool = False,
        world_size: int = 1,
        **settings: Any,
    ) -> None:
        if streams < 1 or (shuffle and streams < world_size):
            raise InputError(f"{streams} streams are too few for {world_size} processes")
        self.pairs = max(0, len(tokens) - 1)  # Pairs of a token and its successor.
        steps = -(-self.pairs // streams)
        super().__init__(StreamSteps(steps), sequence_length, world_size=world_size, **settings)
        self.tokens = tokens.to(self.device) if fits_on_device(Batch(tokens), self.device) else tokens
        self.streams, self.context, self.random_start = streams, context, shuffle

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        starts = torch.arange(self.streams + 1, device=self.tokens.device) * self.pairs // self.streams
        ends = starts[1:, None][self.rank :: self.world_size]
        starts = starts[:-1, None][self.rank :: self.world_size]
        offset = self._offset()
        for columns in rows:
            assert isinstance(columns, slice)
            first = max(0, columns.start - self.context)
            steps = starts + torch.arange(first, columns.stop, device=starts.device)
            positions = (offset + steps) % self.pairs
            targets = self.tokens[positions + 1].masked_fill(steps >= ends, IGNORE)
            targets[:, : columns.start - first] = IGNORE
            yield Batch(self.tokens[positions], targets).to(self.device)

    def batch_rows(self, first: int) -> Iterator[Tensor | slice]:
        return (slice(*ends) for ends in pairwise(self.batch_starts()[first:]))

    def _offset(self) -> int:
        """Returns the start of the first stream in this epoch."""
        if not self.random_start:
            return 0
        generator = torch.Generator().manual_seed(self.derive_seed(self.epoch))
        return int(torch.randint(max(1, self.pairs), (), generator=generator))


class StreamSteps(NamedTuple):
    """The number of time steps of a stream, which the base class divides into batches."""

    size: int


class TokenStream(DataModule):
    """Base class of data sets for next-token prediction, in which each part is one sequence of tokens.

    A subclass defines ``read``, ``fit_spec`` and ``encode``; a part is a ``Batch`` with inputs of shape ``(tokens,)``.

    Args:
        sequence_length: number of time steps of truncated backpropagation, after which the weights are updated.
        eval_streams: number of streams into which a part is cut for evaluation. Each starts without context: fewer
            streams are more accurate, more are faster.
        eval_stride: for models that read each batch without the batches before it: the number of new targets of a
            batch in evaluation. The other ``sequence_length - eval_stride`` steps are the context before them. None
            for as many as steps, so that the first predictions of each batch have almost no context.
        **kwargs: see ``primer.data.base.DataModule``. ``batch_size`` is the number of streams in training;
            ``eval_batch_size`` is ignored in favor of ``eval_streams``.

    Raises:
        InputError: if an argument is less than 1, or ``eval_stride`` is more than ``sequence_length``; when the data is
            read, if a part has only one token.
    """

    inputs = Tokens
    targets = NextToken

    def __init__(
        self, *, sequence_length: int = 64, eval_streams: int = 16, eval_stride: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, number in (("sequence_length", sequence_length), ("eval_streams", eval_streams)):
            if number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        if eval_stride is not None and not 1 <= eval_stride <= sequence_length:
            raise InputError(f"eval_stride must be from 1 to sequence_length={sequence_length}, not {eval_stride}")
        self.sequence_length, self.eval_streams, self.eval_stride = sequence_length, eval_streams, eval_stride

    @abstractmethod
    def prompt(self, text: str | None = None) -> Tensor:
        """Returns ``(tokens,)`` for a model to continue: the user's text, or the start of the test part by default."""

    @abstractmethod
    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """Writes a generated sequence to files in ``folder``. Its first ``prompt`` tokens are the prompt."""

    def loader(self, part: Part, train: bool, bucket: bool = True) -> Loader:
        tokens = self.parts[part].inputs  # type: ignore[union-attr]
        streams = self.batch_size if train else self.eval_streams
        if isinstance(streams, str):  # "full": enough streams to fit the whole part into one batch.
            streams = max(1, -(-(len(tokens) - 1) // self.sequence_length))
        new = self.sequence_length if train else self.eval_stride or self.sequence_length
        context = self.sequence_length - new
        return TokenStreamLoader(tokens, streams, new, context=context, shuffle=train, **self.placement())

    def to_batch(self, tokens: Tensor) -> Batch:
        """Returns a part. Raises ``InputError`` if it has a single token, and so nothing to predict."""
        if len(tokens) == 1:
            raise InputError("the training, validation or test part has only one token: use a longer text")
        return Batch(tokens)


def next_token_spec(words: tuple[str, ...], unit: str, tokenizer: str = "none") -> Spec:
    """Returns the spec of next-token prediction over padding, unknown and the given tokens."""
    vocabulary = (*SPECIAL, *words)
    return Spec(Tokens(vocabulary, tokenizer=tokenizer), NextToken(vocabulary, unit))
