"""Attention mechanisms for decoders."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Memory(NamedTuple):
    """Encoder outputs that a decoder attends to.

    Attributes:
        states: ``(batch, source, memory)`` encoder states.
        keys: ``(batch, source, hidden)`` projections of the states, computed once per sequence.
        padding: ``(batch, source)`` True at padding positions.
    """

    states: Tensor
    keys: Tensor
    padding: Tensor


class Attention(nn.Module, ABC):
    r"""Computes context vectors: averages of the encoder states :math:`h_j`, weighted by their scores against the
    decoder state :math:`s`, :math:`c = \sum_j a_j h_j` with :math:`a = \mathrm{softmax}(\mathrm{score}(s, h))`.

    Args:
        hidden_size: size of the decoder states.
        memory_size: size of the encoder states.
    """

    def __init__(self, hidden_size: int, memory_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(memory_size, hidden_size, bias=False)

    def forward(
        self, queries: Float[Tensor, "batch target hidden"], memory: Memory
    ) -> tuple[Float[Tensor, "batch target memory"], Float[Tensor, "batch target source"]]:
        """Returns the context vector of each query and the attention weights, which are 0 at padding positions."""
        scores = self.score(queries, memory.keys).masked_fill(memory.padding[:, None], float("-inf"))
        weights = scores.softmax(dim=-1)
        return weights @ memory.states, weights

    @abstractmethod
    def score(
        self, queries: Float[Tensor, "batch target hidden"], keys: Float[Tensor, "batch source hidden"]
    ) -> Float[Tensor, "batch target source"]:
        """Returns the score of each key for each query."""


class DotProductAttention(Attention):
    r"""The "general" score of Luong, Pham and Manning 2015 (equation 8), :math:`s^\top W h_j`, scaled by the inverse
    square root of the hidden size (Vaswani et al. 2017) so that the softmax is not too peaked at initialization."""

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])


class AdditiveAttention(Attention):
    r"""The additive score :math:`v^\top \tanh(W s + U h_j)` (Bahdanau, Cho and Bengio 2015, section A.1.2)."""

    def __init__(self, hidden_size: int, memory_size: int) -> None:
        super().__init__(hidden_size, memory_size)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.energy = nn.Linear(hidden_size, 1, bias=False)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.energy((self.query(queries)[:, :, None] + keys[:, None]).tanh()).squeeze(-1)


ATTENTIONS: dict[str, type[Attention] | None] = {
    "none": None,
    "additive": AdditiveAttention,
    "dot": DotProductAttention,
}
