"""BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model, Step
from primer.models.layers.embedding import TokenEmbedding
from primer.models.layers.multi_head_attention import padding_mask, recorded_weights
from primer.models.layers.transformer_block import BlockActivation, TransformerBlock, initialize_blocks
from primer.models.layers.validation import check_choice, check_layers, check_sizes
from primer.objectives import Objective
from primer.spec import IGNORE, Classes, MaskedToken, NextToken, Spec, Tags, Tokens

EPS = 1e-12
"""Added to the variance by normalization, as published."""

SEGMENTS = 2
"""Number of segment embeddings, as published. Data has one segment, whose vector is added to every token."""


class BERT(Model):
    """A bidirectional Transformer: each position sees the whole sequence (Devlin et al. 2019). It is pre-trained to
    predict hidden tokens, on data with ``data.masked``, and then, from these weights, to predict tags or classes.
    Next-sentence prediction is omitted, which does not help (Liu et al. 2019).

    Args:
        spec: description of the data set.
        hidden_size: size of the vectors.
        num_heads: number of attention heads, which divides ``hidden_size``.
        num_layers: number of blocks.
        feedforward_size: size of the hidden layer of each feedforward network; by default ``4 * hidden_size``.
        context_length: maximum number of tokens of a sequence.
        pooling: the vector that predicts a class: the ``mean`` over all tokens, or that of the ``first`` one, which is
            ``[CLS]`` in data for published weights.
        norm_first: whether to normalize the input of each part of a block, rather than the sum of its input and output
            as published, which needs a warm-up.
        activation: of the feedforward networks, see ``primer.models.layers.transformer_block.FeedForward``.
        tie_embeddings: whether the output layer of masked-token prediction shares the weights of the embedding.
        dropout: dropout probability of the embedding, of the output of each attention and feedforward network, and
            before the last layer.
        attention_dropout: dropout probability of the attention weights.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the heads do not divide ``hidden_size``, a probability is outside [0, 1),
            or a name is unknown; in ``forward``, if a sequence is longer than ``context_length``.
    """

    inputs = Tokens
    targets = MaskedToken | Tags | Classes

    def __init__(
        self,
        spec: Spec,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_layers: int = 4,
        feedforward_size: int | None = None,
        context_length: int = 512,
        pooling: Literal["mean", "first"] = "mean",
        norm_first: bool = True,
        activation: BlockActivation = "gelu",
        tie_embeddings: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        feedforward_size = 4 * hidden_size if feedforward_size is None else feedforward_size
        assert isinstance(spec.input, Tokens)
        check_sizes(hidden_size=hidden_size, context_length=context_length)
        check_layers(num_layers=num_layers)
        check_choice("pooling", pooling, ("mean", "first"))
        self.context_length, self.pooling = context_length, pooling
        self.embedding = TokenEmbedding(spec.input, hidden_size)
        self.positions = nn.Embedding(context_length, hidden_size)
        self.segments = nn.Embedding(SEGMENTS, hidden_size)
        self.embedding_norm = nn.LayerNorm(hidden_size, EPS)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                hidden_size, num_heads, feedforward_size, norm_first=norm_first,
                activation=activation, eps=EPS, dropout=dropout, attention_dropout=attention_dropout,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        self.normalization = nn.LayerNorm(hidden_size, EPS) if norm_first else nn.Identity()
        last = nn.Linear(hidden_size, self.outputs)
        transform = nn.Linear(hidden_size, hidden_size)
        self.head = {
            MaskedToken: lambda: nn.Sequential(transform, nn.GELU(), nn.LayerNorm(hidden_size, EPS), last),
            Classes: lambda: nn.Sequential(transform, nn.Tanh(), nn.Dropout(dropout), last),
            Tags: lambda: nn.Sequential(nn.Dropout(dropout), last),
        }[type(spec.target)]()  # type: ignore[index]
        initialize_blocks(self, num_layers)
        if isinstance(spec.target, MaskedToken) and tie_embeddings:
            last.weight = self.embedding.words.weight

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        if isinstance(spec.target, NextToken):
            raise InputError("BERT sees the whole text, so it cannot predict the next token: use data=masked_text")
        super().check_spec(spec)

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch time"] | Int[Tensor, "batch time word"], lengths: Tensor | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """Returns the outputs of each token, or of each sequence for classes. Without ``lengths``, all steps are
        real."""
        hidden = self.read(inputs, lengths)
        return self.head(self.pool(hidden, lengths) if isinstance(self.spec.target, Classes) else hidden)

    @property
    def longest_input(self) -> int | None:
        return self.context_length

    def read(self, inputs: Tensor, lengths: Tensor | None = None) -> Float[Tensor, "batch time hidden"]:
        """Returns the vector of each token after the last block."""
        time = inputs.shape[1]
        if not torch.compiler.is_exporting() and time > self.context_length:
            raise InputError(
                f"a sequence of {time} tokens is longer than model.context_length={self.context_length}: increase it, "
                "or use shorter sequences"
            )
        positions = self.positions(torch.arange(time, device=inputs.device))
        hidden = self.dropout(self.embedding_norm(self.embedding(inputs) + positions + self.segments.weight[0]))
        mask = None if lengths is None else padding_mask(lengths, inputs)
        for block in self.blocks:
            hidden, _ = block(hidden, mask=mask)
        return self.normalization(hidden)

    def pool(self, hidden: Float[Tensor, "batch time hidden"], lengths: Tensor | None) -> Float[Tensor, "batch hidden"]:
        """Returns the vector that predicts the class of each sequence."""
        if self.pooling == "first":
            return hidden[:, 0]
        if lengths is None:
            return hidden.mean(1)
        real = torch.arange(hidden.shape[1], device=hidden.device) < lengths.to(hidden.device)[:, None]
        weights = real.to(hidden.dtype) / real.sum(1, keepdim=True).clamp(min=1)
        return (weights[:, None] @ hidden).squeeze(1)

    def step(self, batch: Batch) -> Step:
        """For hidden tokens, the output layer is computed at these alone, which are few."""
        if not isinstance(self.spec.target, MaskedToken):
            return super().step(batch)
        assert batch.targets is not None
        hidden, targets = self.read(batch.inputs, batch.lengths), batch.targets.flatten()
        # How many are hidden at most is known without waiting for the device. Those come first.
        counts = torch.full((batch.size,), batch.inputs.shape[1]) if batch.lengths is None else batch.lengths
        index = (targets == IGNORE).to(torch.uint8).argsort(stable=True)[: int(self.spec.target.chosen(counts).sum())]
        outputs, targets = self.head(hidden.flatten(0, 1)[index])[None], targets[index][None]
        loss, count = self.objective.loss(outputs, targets)
        return Step(loss, count, outputs, targets)

    def attention_heads(self, batch: Batch) -> Float[Tensor, "batch layers heads time time"]:
        """Returns the attention weights of each head over the tokens."""
        with recorded_weights(block.attention for block in self.blocks) as weights:  # type: ignore[misc]
            self.read(batch.inputs, batch.lengths)
        return torch.stack(weights, 1)

    def position_vectors(self) -> Float[Tensor, "time hidden"]:
        """Returns the learned vectors of the positions."""
        return self.positions.weight

    def depth_groups(self) -> list[list[nn.Module]]:
        first: list[nn.Module] = [self.embedding, self.positions, self.segments, self.embedding_norm]
        return [first, *([block] for block in self.blocks), [self.normalization], [self.head]]

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        assert isinstance(spec.input, Tokens)
        names = ("head.3.weight", "head.3.bias") if isinstance(spec.target, MaskedToken) else ()
        return dict.fromkeys(("embedding.words.weight", *names), spec.input.vocabulary)

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Converts the parameters of Google's BERT, as in the safetensors files of the library ``transformers``. Its
        output layer is that of masked-token prediction."""
        state = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
        state = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): one for name, one in state.items()}
        if "encoder.layer.0.attention.self.query.weight" not in state:
            return None
        ours = {name: state[f"{other}.weight"] for name, other in EMBEDDINGS.items()}
        layers = {"embedding_norm": "embeddings.LayerNorm"}
        for number in range(sum(name.endswith(".intermediate.dense.weight") for name in state)):
            layers |= {f"blocks.{number}.{name}": f"encoder.layer.{number}.{other}" for name, other in LAYERS.items()}
        if "cls.predictions.bias" in state:
            layers |= {"head.0": "cls.predictions.transform.dense", "head.2": "cls.predictions.transform.LayerNorm"}
            ours["head.3.weight"] = state.get("cls.predictions.decoder.weight", ours["embedding.words.weight"])
            ours["head.3.bias"] = state["cls.predictions.bias"]
        return ours | {f"{name}.{kind}": state[f"{layers[name]}.{kind}"] for name in layers for kind in KINDS}


KINDS = ("weight", "bias")

EMBEDDINGS = {
    "embedding.words.weight": "embeddings.word_embeddings",
    "positions.weight": "embeddings.position_embeddings",
    "segments.weight": "embeddings.token_type_embeddings",
}
"""The published names of the embeddings."""

LAYERS = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feedforward.expand": "intermediate.dense",
    "feedforward.contract": "output.dense",
    "feedforward_norm": "output.LayerNorm",
}
"""The published names of the layers of a block."""
