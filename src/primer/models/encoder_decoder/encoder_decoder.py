"""Base class of the encoder-decoders: everything but the encoder and the decoder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.beam import beam_search, pad_after_end
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.spec import IGNORE, PADDING, Sequence, Spec, Tokens


class EncoderDecoder(Model):
    """An encoder reads the source, and a decoder generates the target token by token.

    ``forward_batch`` returns the teacher-forced logits of the targets, ``(batch, target, vocabulary)``. ``forward`` has
    no targets and decodes greedily. Hence losses are teacher-forced, while metrics evaluate decoded sequences: greedily
    in validation, for speed, and with beam search otherwise.

    A subclass defines ``encode`` and ``decode``. The memory and the state that they exchange may have any form.

    Args:
        spec: description of the data set.
        max_length: maximum number of decoded tokens, including ``end``; by default twice the source length plus 10.
        beam_size: number of hypotheses of the beam search (``primer.models.layers.beam``); 1 decodes greedily.
        length_normalization: exponent of the length penalty of the beam search (Wu et al. 2016).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1 or the length normalization is negative.
    """

    inputs = Tokens
    targets = Sequence

    def __init__(
        self,
        spec: Spec,
        max_length: int | None = None,
        beam_size: int = 1,
        length_normalization: float = 0.6,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.target, Sequence)
        check_sizes(max_length=1 if max_length is None else max_length, beam_size=beam_size)
        if length_normalization < 0:
            raise InputError(f"length_normalization must be at least 0, not {length_normalization}")
        self.start, self.end = spec.target.start, spec.target.end
        self.max_length, self.beam_size, self.length_normalization = max_length, beam_size, length_normalization

    @abstractmethod
    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Any, Any]:
        """Returns the memory that the decoder attends to, and its initial state."""

    @abstractmethod
    def decode(
        self, tokens: Int[Tensor, "batch target"], state: Any, memory: Any
    ) -> tuple[Float[Tensor, "batch target words"], Any]:
        """Returns the logits after each token, and the state after the last one."""

    @abstractmethod
    def repeat_memory(self, memory: Any, times: int) -> Any:
        """Repeats each row of a memory, for the hypotheses of a beam."""

    @abstractmethod
    def reorder_state(self, state: Any, rows: Int[Tensor, " rows"]) -> Any:
        """Selects rows of a state, in the given order."""

    @abstractmethod
    def align(self, batch: Batch, tokens: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target source"] | None:
        """Returns the attention weights over the source of each step that generates ``tokens``; None without
        attention."""

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch target words"]:
        """Decodes greedily and returns the logits: the argmax of each step is its token and the input of the next step.
        Decoding stops once all rows have ended; logits after the end of a row are meaningless."""
        memory, state = self.encode(inputs, lengths)
        max_lengths = self.max_lengths(inputs, lengths)
        token = torch.full_like(inputs[:, :1], self.start)
        done = torch.zeros_like(max_lengths, dtype=torch.bool)
        steps: list[Tensor] = []
        for step in range(self.max_length or default_max_length(inputs.shape[1])):
            logits, state = self.decode(token, state, memory)
            steps.append(logits)
            token = logits.argmax(-1)
            done = done | (token[:, 0] == self.end) | (step + 1 >= max_lengths)
            # An exported graph cannot branch on decoded tokens, so it always runs to the maximum length.
            if not torch.compiler.is_exporting() and done.all():
                break
        return torch.cat(steps, dim=1)

    def forward_batch(self, batch: Batch) -> Float[Tensor, "batch target words"]:
        """Returns the logits of each target step given the preceding true tokens."""
        assert batch.targets is not None
        memory, state = self.encode(batch.inputs, batch.lengths)
        return self.decode(self.shift_right(batch.targets), state, memory)[0]

    def predict_batch(self, batch: Batch, outputs: Tensor | None = None) -> Int[Tensor, "batch target"]:
        """Decodes tokens and pads after ``end``. ``outputs`` are computed from the true targets, so they are of no
        use here."""
        if self.beam_size > 1 and self.evaluation.stage != "val":
            return self.search(batch)[0]
        tokens = self.objective.predict(self(batch.inputs, batch.lengths))
        return pad_after_end(tokens, self.max_lengths(batch.inputs, batch.lengths), self.end)

    def search(self, batch: Batch) -> tuple[Int[Tensor, "batch target"], Float[Tensor, " batch"]]:
        """Returns the best sequences found by beam search, and their scores."""
        memory, state = self.encode(batch.inputs, batch.lengths)
        memory = self.repeat_memory(memory, self.beam_size)

        def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            logits, state = self.decode(tokens, state, memory)
            return logits[:, -1], state

        return beam_search(
            step, state, self.max_lengths(batch.inputs, batch.lengths), start=self.start, end=self.end,
            beam_size=self.beam_size, length_normalization=self.length_normalization, reorder=self.reorder_state,
        )  # fmt: skip

    def shift_right(self, tokens: Int[Tensor, "batch target"]) -> Int[Tensor, "batch target"]:
        """Returns the decoder inputs that generate ``tokens``: shifted by one step, starting with ``start``."""
        shifted = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORE, PADDING)

    def max_lengths(self, inputs: Tensor, lengths: Tensor | None) -> Int[Tensor, " batch"]:
        """Returns the maximum number of tokens to decode for each row. It does not depend on padding."""
        if self.max_length is not None or lengths is None:
            return torch.full_like(inputs[:, 0], self.max_length or default_max_length(inputs.shape[1]))
        return default_max_length(lengths.to(inputs.device))


def default_max_length(source_length: Any) -> Any:
    """Returns the default maximum number of decoded tokens for one source length or a tensor of them."""
    return 2 * source_length + 10
