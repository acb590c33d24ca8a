"""What a decoder looks back at, and how."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Memory(NamedTuple):
    """What a decoder looks back at: the encoder's states ``(batch, source, memory)``, what they are found by
    ``(batch, source, hidden)``, computed once, and where there is only padding ``(batch, source)``."""

    states: Tensor
    keys: Tensor
    padding: Tensor


class Attention(nn.Module, ABC):
    r"""The mean of the encoder's states :math:`h_j`, weighted by how well they suit the decoder's state :math:`s`:
    :math:`c = \sum_j a_j h_j` with :math:`a = \mathrm{softmax}(\mathrm{score}(s, h))`.

    Args:
        hidden_size: of the decoder.
        memory_size: of the encoder's states.
    """

    def __init__(self, hidden_size: int, memory_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(memory_size, hidden_size, bias=False)

    def forward(
        self, queries: Float[Tensor, "batch target hidden"], memory: Memory
    ) -> tuple[Float[Tensor, "batch target memory"], Float[Tensor, "batch target source"]]:
        """The mean for each query, and the weights, which are 0 on padding."""
        scores = self.score(queries, memory.keys).masked_fill(memory.padding[:, None], float("-inf"))
        weights = scores.softmax(dim=-1)
        return weights @ memory.states, weights

    @abstractmethod
    def score(
        self, queries: Float[Tensor, "batch target hidden"], keys: Float[Tensor, "batch source hidden"]
    ) -> Float[Tensor, "batch target source"]:
        """How well each key suits each query."""


class Dot(Attention):
    r"""The general form of Luong, Pham and Manning 2015 (equation 8), :math:`s^\top W h_j`, over the root of the size
    (Vaswani et al. 2017) so that the first softmax is not too sharp."""

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])


class Additive(Attention):
    r""":math:`v^\top \tanh(W s + U h_j)` (Bahdanau, Cho and Bengio 2015, section A.1.2)."""

    def __init__(self, hidden_size: int, memory_size: int) -> None:
        super().__init__(hidden_size, memory_size)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.energy = nn.Linear(hidden_size, 1, bias=False)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.energy((self.query(queries)[:, :, None] + keys[:, None]).tanh()).squeeze(-1)


ATTENTIONS: dict[str, type[Attention] | None] = {"none": None, "additive": Additive, "dot": Dot}
