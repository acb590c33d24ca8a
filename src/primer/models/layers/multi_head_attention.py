"""Multi-head attention, with rotary positions, normalized queries and keys, and a cache for decoding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.layers.validation import check_rate, check_sizes


class KeyValues(NamedTuple):
    """Keys and values of the positions that have been read, both ``(batch, heads, time, head)``."""

    keys: Tensor
    values: Tensor


class Rotation(NamedTuple):
    """Cosines and sines of the angles of rotary positions, both ``(time, head / 2)``."""

    cos: Tensor
    sin: Tensor


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention (Vaswani et al. 2017, section 3.2): each head averages the values :math:`V`, weighted by
    :math:`\mathrm{softmax}(Q K^\top / \sqrt{d})`, where :math:`d` is the size of a head.

    Queries, keys and values are projections of the same sequence (self-attention) unless ``memory`` is given
    (cross-attention).

    Args:
        hidden_size: size of the vectors.
        num_heads: number of heads, which divides ``hidden_size``.
        bias: whether the projections have a bias.
        qk_norm: whether to normalize the queries and keys of each head by their root mean square, so that scores cannot
            grow without bound (Henry et al. 2020; Dehghani et al. 2023).
        dropout: dropout probability of the attention weights. Other than 0, it rules out the fused kernel on a CPU.

    Raises:
        InputError: if a size is less than 1, the heads do not divide ``hidden_size``, or the dropout probability is
            outside [0, 1).
    """

    def __init__(
        self, hidden_size: int, num_heads: int, bias: bool = True, qk_norm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_sizes(hidden_size=hidden_size, num_heads=num_heads)
        check_rate("attention_dropout", dropout)
        if hidden_size % num_heads:
            raise InputError(f"hidden_size={hidden_size} must be a multiple of num_heads={num_heads}")
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(hidden_size, hidden_size, bias)
        self.key = nn.Linear(hidden_size, hidden_size, bias)
        self.value = nn.Linear(hidden_size, hidden_size, bias)
        self.output = nn.Linear(hidden_size, hidden_size, bias)
        head_size = hidden_size // num_heads
        self.query_norm = nn.RMSNorm(head_size) if qk_norm else nn.Identity()
        self.key_norm = nn.RMSNorm(head_size) if qk_norm else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch time hidden"],
        *,
        memory: KeyValues | None = None,
        mask: Bool[Tensor, "batch 1 1 source"] | None = None,
        causal: bool = False,
        rotation: Rotation | None = None,
        cache: KeyValues | None = None,
    ) -> tuple[Float[Tensor, "batch time hidden"], KeyValues]:
        """Returns the output at each position, and the keys and values that it attended to.

        Args:
            x: vectors that the queries are computed from; without ``memory``, keys and values too.
            memory: keys and values of another sequence, as returned by ``project``.
            mask: True at keys that can be attended to; None for all of them.
            causal: whether a position attends to itself and earlier positions only.
            rotation: rotates queries and keys by their positions; None for no rotation.
            cache: keys and values of the preceding positions.
        """
        queries = self.queries(x, rotation)
        if memory is None:
            memory = self.project(x, rotation)
            if cache is not None:
                memory = KeyValues(*(torch.cat(parts, dim=2) for parts in zip(cache, memory, strict=True)))
        if causal and cache is not None:
            # ``is_causal`` would align the first query with the first key. The last ones belong together.
            mask, causal = causal_mask(queries.shape[2], memory.keys.shape[2], x.device), False
        dropout = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(queries, *memory, attn_mask=mask, dropout_p=dropout, is_causal=causal)
        return self.output(heads.transpose(1, 2).flatten(2)), memory

    def queries(
        self, x: Float[Tensor, "batch time hidden"], rotation: Rotation | None = None
    ) -> Float[Tensor, "batch heads time head"]:
        """Returns the queries of each head."""
        return rotate(self.query_norm(self._split(self.query(x))), rotation)

    def project(self, x: Float[Tensor, "batch time hidden"], rotation: Rotation | None = None) -> KeyValues:
        """Returns the keys and values of each head."""
        return KeyValues(rotate(self.key_norm(self._split(self.key(x))), rotation), self._split(self.value(x)))

    def weights(
        self,
        x: Float[Tensor, "batch time hidden"],
        memory: KeyValues,
        mask: Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch heads time source"]:
        """Returns the attention weights of each head, for pictures: ``forward`` does not compute them as a whole."""
        scores = self.queries(x, rotation) @ memory.keys.transpose(2, 3) / math.sqrt(memory.keys.shape[-1])
        return (scores if mask is None else scores.masked_fill(~mask, float("-inf"))).softmax(-1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


@contextmanager
def recorded_weights(layers: Iterable[MultiHeadAttention]) -> Iterator[list[Tensor]]:
    """Collects the attention weights ``(batch, heads, time, source)`` of layers while they run, in the order in which
    they run."""
    weights: list[Tensor] = []

    def record(layer: MultiHeadAttention, args: tuple[Tensor], settings: dict[str, Any], output: Any) -> None:
        memory, mask = output[1], settings.get("mask")
        if settings.get("causal"):
            mask = causal_mask(args[0].shape[1], memory.keys.shape[2], args[0].device)
        weights.append(layer.weights(args[0], memory, mask, settings.get("rotation")))

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(record, with_kwargs=True).remove)
        yield weights


def causal_mask(queries: int, keys: int, device: torch.device | str = "cpu") -> Bool[Tensor, "queries keys"]:
    """Returns True where a query may attend to a key, if the last query belongs to the last key.

    >>> causal_mask(2, 3).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def padding_mask(lengths: Int[Tensor, " batch"], inputs: Tensor) -> Bool[Tensor, "batch 1 1 time"] | None:
    """Returns True at the real steps of ``(batch, time)`` inputs, in the shape that attention takes; None if there is
    no padding. Of an empty sequence, the first step counts as real, since an average over nothing is undefined."""
    total = inputs.shape[1]
    if not torch.compiler.is_exporting() and not (lengths < total).any():  # Lengths are on the CPU.
        return None
    lengths = lengths.clamp(min=1).to(inputs.device, non_blocking=True)
    return (torch.arange(total, device=inputs.device) < lengths[:, None])[:, None, None]


def rotation_at(start: int, time: int, head_size: int, device: torch.device | str, base: float = 10_000.0) -> Rotation:
    r"""Returns the rotation of positions ``start`` to ``start + time - 1``: pair :math:`i` of a head turns by
    :math:`p \cdot \mathrm{base}^{-2i/d}` at position :math:`p` (Su et al. 2021, equation 15)."""
    frequencies = base ** -(torch.arange(0, head_size, 2, device=device, dtype=torch.float32) / head_size)
    angles = torch.arange(start, start + time, device=device)[:, None] * frequencies
    return Rotation(angles.cos(), angles.sin())


def rotate(x: Float[Tensor, "batch heads time head"], rotation: Rotation | None) -> Tensor:
    """Rotates queries or keys by their positions, so that scores depend on distances only. Entry ``i`` of the first
    half of a head and entry ``i`` of the second half are a pair."""
    if rotation is None:
        return x
    first, second = x.chunk(2, dim=-1)
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
