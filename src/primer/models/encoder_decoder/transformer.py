"""The Transformer."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.batch import Batch
from primer.models.encoder_decoder.encoder_decoder import EncoderDecoder
from primer.models.layers.initialization import initialize
from primer.models.layers.multi_head_attention import KeyValues, padding_mask, recorded_weights
from primer.models.layers.transformer_block import BlockActivation, TransformerBlock
from primer.models.layers.validation import check_layers, check_sizes
from primer.objectives import Objective
from primer.spec import PADDING, Sequence, Spec, Tokens

Cache = list[KeyValues]
"""Keys and values of the target tokens read so far, for each block of the decoder."""


class Memory(NamedTuple):
    """What the decoder attends to.

    Attributes:
        layers: keys and values of the source, for each block of the decoder.
        mask: True at the real steps of the source, in the shape that attention takes; None without padding.
    """

    layers: list[KeyValues]
    mask: Tensor | None


class Transformer(EncoderDecoder):
    """An encoder-decoder of attention alone (Vaswani et al. 2017): all steps of a sequence are computed at once, apart
    from decoding. Decoding keeps the keys and values of the tokens before.

    Args:
        spec: description of the data set.
        hidden_size: size of the vectors.
        num_heads: number of attention heads, which divides ``hidden_size``.
        num_encoder_layers, num_decoder_layers: numbers of blocks.
        feedforward_size: size of the hidden layer of each feedforward network; by default ``4 * hidden_size``.
        norm_first: whether to normalize the input of each part of a block (Xiong et al. 2020) rather than the sum of
            its input and output, as in the paper, which needs a warm-up.
        activation: of the feedforward networks: ``relu`` in the paper.
        qk_norm: whether to normalize queries and keys.
        tie_embeddings: whether the output layer shares the weights of the target embedding (Press and Wolf 2017).
        max_length, beam_size, length_normalization: see ``primer.models.encoder_decoder.encoder_decoder``.
        dropout: dropout probability of the embeddings, of hidden layers, and of the output of each attention and
            feedforward network.
        attention_dropout: dropout probability of the attention weights.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the heads do not divide ``hidden_size``, a probability is outside [0, 1),
            the length normalization is negative, or a name is unknown.
    """

    def __init__(
        self,
        spec: Spec,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_encoder_layers: int = 3,
        num_decoder_layers: int = 3,
        feedforward_size: int | None = None,
        norm_first: bool = True,
        activation: BlockActivation = "relu",
        qk_norm: bool = False,
        tie_embeddings: bool = True,
        max_length: int | None = None,
        beam_size: int = 1,
        length_normalization: float = 0.6,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, max_length, beam_size, length_normalization, objective)
        feedforward_size = 4 * hidden_size if feedforward_size is None else feedforward_size
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Sequence)
        check_sizes(hidden_size=hidden_size)
        check_layers(num_encoder_layers=num_encoder_layers, num_decoder_layers=num_decoder_layers)

        def blocks(count: int, cross_attention: bool) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(
                    hidden_size, num_heads, feedforward_size, norm_first=norm_first,
                    activation=activation, qk_norm=qk_norm, cross_attention=cross_attention, dropout=dropout,
                    attention_dropout=attention_dropout, feedforward_dropout=dropout,
                )
                for _ in range(count)
            )  # fmt: skip

        self.scale = math.sqrt(hidden_size)
        self.source_embedding = nn.Embedding(len(spec.input.vocabulary), hidden_size, padding_idx=PADDING)
        self.encoder = blocks(num_encoder_layers, cross_attention=False)
        self.encoder_norm = nn.LayerNorm(hidden_size) if norm_first else nn.Identity()
        self.target_embedding = nn.Embedding(len(spec.target.vocabulary), hidden_size, padding_idx=PADDING)
        self.decoder = blocks(num_decoder_layers, cross_attention=True)
        self.decoder_norm = nn.LayerNorm(hidden_size) if norm_first else nn.Identity()
        self.head = nn.Linear(hidden_size, self.outputs)
        self.dropout = nn.Dropout(dropout)
        initialize(self, "xavier")
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight[PADDING + 1 :].detach(), std=1 / self.scale)
        if tie_embeddings:
            self.head.weight = self.target_embedding.weight

    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Memory, Cache | None]:
        mask = None if lengths is None else padding_mask(lengths, inputs)
        x = self.embed(self.source_embedding, inputs)
        for block in self.encoder:
            x, _ = block(x, mask=mask)
        x = self.encoder_norm(x)
        return Memory([block.cross_attention.project(x) for block in self.decoder], mask), None  # type: ignore[union-attr, operator]

    def decode(
        self, tokens: Int[Tensor, "batch target"], state: Cache | None, memory: Memory
    ) -> tuple[Float[Tensor, "batch target words"], Cache]:
        x, seen = self.embed(self.target_embedding, tokens, 0 if state is None else state[0].keys.shape[2]), []
        for number, (block, source) in enumerate(zip(self.decoder, memory.layers, strict=True)):
            cache = None if state is None else state[number]
            x, after = block(x, causal=True, cache=cache, memory=source, memory_mask=memory.mask)
            seen.append(after)
        return self.head(self.decoder_norm(x)), seen

    def repeat_memory(self, memory: Memory, times: int) -> Memory:
        layers = [KeyValues(*(part.repeat_interleave(times, dim=0) for part in layer)) for layer in memory.layers]
        return Memory(layers, None if memory.mask is None else memory.mask.repeat_interleave(times, dim=0))

    def reorder_state(self, state: Cache | None, rows: Int[Tensor, " rows"]) -> Cache | None:
        return None if state is None else [KeyValues(*(part.index_select(0, rows) for part in one)) for one in state]

    def align(self, batch: Batch, tokens: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target source"]:
        """Returns the attention weights of the decoder's last block, averaged over its heads."""
        return self.attention_heads(batch, tokens)[:, -1].mean(1)

    def attention_heads(
        self, batch: Batch, tokens: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch layers heads target source"]:
        """Returns the attention weights over the source of each head of the decoder, when it reads ``tokens``."""
        memory, _ = self.encode(batch.inputs, batch.lengths)
        with recorded_weights(block.cross_attention for block in self.decoder) as weights:  # type: ignore[misc]
            self.decode(self.shift_right(tokens), None, memory)
        return torch.stack(weights, 1)

    def position_vectors(self) -> Float[Tensor, "time hidden"]:
        """Returns the encodings of the first positions."""
        return sinusoids(0, 128, self.source_embedding.embedding_dim)

    def embed(
        self, embedding: nn.Embedding, tokens: Int[Tensor, "batch time"], start: int = 0
    ) -> Float[Tensor, "batch time hidden"]:
        """Embeds tokens and adds the encoding of their positions, which are counted from ``start``."""
        x = embedding(tokens) * self.scale
        return self.dropout(x + sinusoids(start, tokens.shape[1], x.shape[-1], x.device).to(x.dtype))

    def depth_groups(self) -> list[list[nn.Module]]:
        return [
            [self.source_embedding, self.target_embedding],
            *([block] for block in self.encoder),
            [self.encoder_norm],
            *([block] for block in self.decoder),
            [self.decoder_norm],
            [self.head],
        ]

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Sequence)
        names = ("target_embedding.weight", "head.weight", "head.bias")
        return {"source_embedding.weight": spec.input.vocabulary} | dict.fromkeys(names, spec.target.vocabulary)


def sinusoids(start: int, time: int, size: int, device: torch.device | str = "cpu") -> Float[Tensor, "time size"]:
    r"""Returns the encodings of positions ``start`` to ``start + time - 1`` (Vaswani et al. 2017, section 3.5): pairs
    :math:`\sin(p / 10000^{2i/d})` and :math:`\cos(p / 10000^{2i/d})`."""
    rates = 10_000.0 ** -(torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angles = torch.arange(start, start + time, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size]
