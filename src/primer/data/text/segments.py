"""One long sequence of tokens, such as a text: read in segments, on many streams side by side."""

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


class SegmentLoader(Loader):
    """Batches for truncated back-propagation through time (Williams and Peng 1990).

    The sequence is cut into streams of equal length, which lie side by side as the rows of a batch; each batch goes on
    where the one before it ended, so that a model may carry its state. Each token but the first is a target once an
    epoch. Where the streams do not come out even, the last batch has targets to be ignored.

    To train, the sequence is a ring, and each epoch starts at another place of it: the borders between streams and
    segments move. No model is asked for what follows the last token.

    With several processes, each takes its own streams.

    Args:
        tokens: ``(tokens,)``, the sequence.
        streams: the rows of a batch, all processes together.
        sequence_length: the steps of a batch.
        shuffle: whether each epoch starts at another place, which depends on the seed and the epoch alone.
        settings: as ``Loader`` takes them.

    Raises:
        ValueError: where there are no streams, or less than one for each process that trains.
    """

    def __init__(
        self,
        tokens: Tensor,
        streams: int,
        sequence_length: int,
        *,
        shuffle: bool = False,
        world_size: int = 1,
        **settings: Any,
    ) -> None:
        if streams < 1 or (shuffle and streams < world_size):
            raise InputError(f"{streams} streams are too few for {world_size} processes")
        self.pairs = max(0, len(tokens) - 1)  # Of a token and the one after it.
        steps = -(-self.pairs // streams)
        super().__init__(Columns(steps), sequence_length, world_size=world_size, **settings)
        self.tokens = tokens.to(self.device) if fits_on_device(Batch(tokens), self.device) else tokens
        self.streams, self.moves = streams, shuffle

    def fetch(self, rows: Iterator[Tensor | slice]) -> Iterator[Batch]:
        starts = torch.arange(self.streams + 1, device=self.tokens.device) * self.pairs // self.streams
        ends = starts[1:, None][self.rank :: self.world_size]
        starts = starts[:-1, None][self.rank :: self.world_size]
        first = self._first()
        for columns in rows:
            assert isinstance(columns, slice)
            steps = starts + torch.arange(columns.start, columns.stop, device=starts.device)
            places = (first + steps) % self.pairs
            targets = self.tokens[places + 1].masked_fill(steps >= ends, IGNORE)
            yield Batch(self.tokens[places], targets).to(self.device)

    def _first(self) -> int:
        """Where the first track starts in this epoch."""
        if not self.moves:
            return 0
        generator = torch.Generator().manual_seed(self._seed_of(self.epoch))
        return int(torch.randint(max(1, self.pairs), (), generator=generator))

    def _rows(self, first: int) -> Iterator[Tensor | slice]:
        return (slice(*ends) for ends in pairwise(self._starts()[first:]))


class Columns(NamedTuple):
    """The steps of a track."""

    size: int


class TokenStream(DataModule):
    """The base of data sets of which each part is one sequence of tokens; the next token is to be said.

    A subclass reads and encodes it: a part is a ``Batch`` whose inputs are ``(tokens,)``.

    Args:
        sequence_length: the steps over which gradients flow back, and after which the weights are updated.
        eval_streams: at how many places a part is read side by side where it is evaluated. Each starts without knowing
            what was before it: fewer are exact, more are fast.
        kwargs: as in ``primer.data.base.DataModule``. ``batch_size`` is the number of streams to train; what an
            evaluation reads at once is a segment of each of ``eval_streams``, whatever ``eval_batch_size``.

    Raises:
        ValueError: for a number under 1; when the data is read, for a part of one token.
    """

    inputs = Tokens
    targets = NextToken

    def __init__(self, *, sequence_length: int = 64, eval_streams: int = 16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, number in (("sequence_length", sequence_length), ("eval_streams", eval_streams)):
            if number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        self.sequence_length, self.eval_streams = sequence_length, eval_streams

    @abstractmethod
    def prompt(self, text: str | None = None) -> Tensor:
        """``(tokens,)`` that a model may continue: a text of the user's, or by default how the test part starts."""

    @abstractmethod
    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """Writes a sequence, whose first ``prompt`` tokens were given and whose others a model sampled, into files."""

    def loader(self, part: Part, train: bool, bucket: bool = True) -> Loader:
        tokens = self.parts[part].inputs  # type: ignore[union-attr]
        streams = self.batch_size if train else self.eval_streams
        if isinstance(streams, str):  # All of the part in one batch: as many streams as there are segments.
            streams = max(1, -(-(len(tokens) - 1) // self.sequence_length))
        return SegmentLoader(tokens, streams, self.sequence_length, shuffle=train, **self.placement())

    def stream(self, tokens: Tensor) -> Batch:
        """A part. Raises ``InputError`` where there is nothing to be said in it."""
        if len(tokens) == 1:
            raise InputError("training, validation or test has one token, and nothing follows it: take a longer text")
        return Batch(tokens)


def next_token(words: tuple[str, ...], unit: str) -> Spec:
    """The spec of a data set over these tokens, padding and unknown before them."""
    vocabulary = (*SPECIAL, *words)
    return Spec(Tokens(vocabulary), NextToken(vocabulary, unit))
