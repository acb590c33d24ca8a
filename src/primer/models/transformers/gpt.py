"""GPT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchmetrics import MeanMetric

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.embedding import TokenEmbedding
from primer.models.layers.multi_head_attention import KeyValues, recorded_weights, rotation_at
from primer.models.layers.transformer_block import (
    BlockActivation,
    BlockNorm,
    TransformerBlock,
    block_norm,
    initialize_blocks,
)
from primer.models.layers.validation import check_choice, check_layers, check_sizes
from primer.objectives import Objective
from primer.spec import IGNORE, Classes, NextToken, Spec, Tags, Tokens


class State(NamedTuple):
    """What a GPT has read.

    Attributes:
        tokens: ``(batch, time)``.
        cache: keys and values of each layer.
    """

    tokens: Tensor
    cache: list[KeyValues]


class GPT(Model):
    """A causal Transformer: each position sees itself and the positions before it (Radford et al. 2018, 2019).

    It predicts the next token, or, for instance starting from the weights of such a model, one tag per token or one
    class per sequence, from the last token, which is the only one that has seen the whole sequence.

    In next-token prediction, each batch is read without the batches before it. Hence the first predictions of a batch
    have little context; ``data.eval_stride`` gives each more in evaluation, and the metric ``context`` is the mean
    number of tokens that a prediction was made from.

    Args:
        spec: description of the data set.
        hidden_size: size of the vectors.
        num_heads: number of attention heads, which divides ``hidden_size``.
        num_layers: number of blocks.
        feedforward_size: size of the hidden layer of each feedforward network; by default ``4 * hidden_size``.
        context_length: maximum number of tokens that a prediction is made from. When a generated text is longer, the
            model continues from the latest half of that.
        position: ``learned`` vectors that are added to the embedding, one for each position; or ``rotary``, which
            rotates queries and keys, so that attention depends on distances (Su et al. 2021).
        normalization: ``layer`` or ``rms``.
        activation: of the feedforward networks: ``gelu``, ``gelu_tanh``, ``relu``, ``relu2`` or ``swiglu``.
        bias: whether linear layers and layer normalization have a bias.
        qk_norm: whether to normalize queries and keys.
        tie_embeddings: whether the output layer of next-token prediction shares the weights of the embedding (Press
            and Wolf 2017).
        dropout: dropout probability of the embedding and of the output of each attention and feedforward network.
        attention_dropout: dropout probability of the attention weights.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the heads do not divide ``hidden_size``, a probability is outside [0, 1),
            or a name is unknown; in ``forward``, if a sequence is longer than ``context_length``.
    """

    inputs = Tokens
    targets = NextToken | Tags | Classes
    logged_metrics = ("val/context", "test/context")

    def __init__(
        self,
        spec: Spec,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_layers: int = 4,
        feedforward_size: int | None = None,
        context_length: int = 256,
        position: Literal["learned", "rotary"] = "learned",
        normalization: BlockNorm = "layer",
        activation: BlockActivation = "gelu",
        bias: bool = True,
        qk_norm: bool = False,
        tie_embeddings: bool = True,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        feedforward_size = 4 * hidden_size if feedforward_size is None else feedforward_size
        assert isinstance(spec.input, Tokens)
        check_sizes(hidden_size=hidden_size, num_heads=num_heads, context_length=context_length)
        check_layers(num_layers=num_layers)
        check_choice("position", position, ("learned", "rotary"))
        self.head_size = hidden_size // num_heads
        if position == "rotary" and self.head_size % 2:
            raise InputError(f"position=rotary needs heads of even size, not hidden_size/num_heads={self.head_size}")
        self.context_length = context_length
        self.embedding = TokenEmbedding(spec.input, hidden_size)
        self.positions = nn.Embedding(context_length, hidden_size) if position == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                hidden_size, num_heads, feedforward_size, normalization=normalization,
                activation=activation, bias=bias, qk_norm=qk_norm, dropout=dropout, attention_dropout=attention_dropout,
            )
            for _ in range(num_layers)
        )  # fmt: skip
        self.normalization = block_norm(normalization, hidden_size, bias=bias)
        self.predicts_next = isinstance(spec.target, NextToken)
        self.head = nn.Linear(hidden_size, self.outputs, bias=not self.predicts_next)
        initialize_blocks(self, num_layers)
        if self.predicts_next and tie_embeddings:
            self.head.weight = self.embedding.words.weight
        self.mean_context = MeanMetric()

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """Returns the outputs of each token, or of each sequence for classes. Padding comes last, so that no real token
        sees it."""
        hidden, _ = self.read(inputs)
        if isinstance(self.spec.target, Classes):
            hidden = last_steps(hidden, lengths)
        return self.head(hidden)

    @property
    def longest_input(self) -> int | None:
        limited = self.positions is not None and not self.predicts_next  # Of a prompt, the end is read.
        return self.context_length if limited else None

    def read(
        self, inputs: Int[Tensor, "batch time"], cache: list[KeyValues] | None = None
    ) -> tuple[Float[Tensor, "batch time hidden"], list[KeyValues]]:
        """Returns the vector of each token after the last block, and the keys and values of each block.

        Args:
            inputs: tokens.
            cache: keys and values of the preceding tokens.
        """
        start, time = 0 if cache is None else cache[0].keys.shape[2], inputs.shape[1]
        if self.positions is not None and not torch.compiler.is_exporting() and start + time > self.context_length:
            raise InputError(
                f"a sequence of {start + time} tokens is longer than model.context_length={self.context_length}: "
                "increase it, use shorter sequences, or model.position=rotary"
            )
        hidden, rotation = self.embedding(inputs), None
        if self.positions is None:
            rotation = rotation_at(start, time, self.head_size, inputs.device)
        else:
            hidden = hidden + self.positions(torch.arange(start, start + time, device=inputs.device))
        hidden, seen = self.dropout(hidden), []
        for number, block in enumerate(self.blocks):
            before = None if cache is None else cache[number]
            hidden, after = block(hidden, causal=True, rotation=rotation, cache=before)
            seen.append(after)
        return self.normalization(hidden), seen

    def forward_with_state(
        self, inputs: Int[Tensor, "batch time"], lengths: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Returns the outputs of tokens that follow those of a state, and the new state.

        If both together exceed ``context_length``, the latest half of it is read again, without what was before. Of
        more than ``context_length`` new tokens, the latest are read.
        """
        inputs = inputs[:, -self.context_length :]
        window, cache = inputs, None
        if state is not None:
            window = torch.cat([state.tokens, inputs], dim=1)
            if window.shape[1] <= self.context_length:
                hidden, cache = self.read(inputs, state.cache)
                return self.head(hidden), State(window, cache)
            window = window[:, -max(inputs.shape[1], self.context_length // 2) :]
        hidden, cache = self.read(window)
        return self.head(hidden[:, -inputs.shape[1] :]), State(window, cache)

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        self.log_context("val/context", batch)
        return super().validation_step(batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        self.log_context("test/context", batch)
        return super().test_step(batch, batch_idx)

    def log_context(self, name: str, batch: Batch) -> None:
        """Logs the mean number of tokens that the predictions of a batch are made from."""
        if self.predicts_next and batch.targets is not None:
            context = torch.arange(1.0, batch.targets.shape[1] + 1, device=batch.targets.device)
            self.mean_context.update(context, (batch.targets != IGNORE).sum(0).float())
            self.log(name, self.mean_context, on_step=False, on_epoch=True)

    def attention_heads(self, batch: Batch) -> Float[Tensor, "batch layers heads time time"]:
        """Returns the attention weights of each head over the tokens."""
        with recorded_weights(block.attention for block in self.blocks) as weights:  # type: ignore[misc]
            self.read(batch.inputs)
        return torch.stack(weights, 1)

    def position_vectors(self) -> Float[Tensor, "time features"]:
        """Returns what tells positions apart: the learned vectors, or the cosines and sines of rotary positions."""
        if self.positions is not None:
            return self.positions.weight
        return torch.cat(rotation_at(0, self.context_length, self.head_size, self.device), dim=-1)

    def depth_groups(self) -> list[list[nn.Module]]:
        first = [self.embedding, *([] if self.positions is None else [self.positions])]
        return [first, *([block] for block in self.blocks), [self.normalization], [self.head]]

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        assert isinstance(spec.input, Tokens)
        outputs = {"head.weight": spec.target.vocabulary} if isinstance(spec.target, NextToken) else {}
        return {"embedding.words.weight": spec.input.vocabulary} | outputs

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Converts the parameters of OpenAI's GPT-2, as in the safetensors files of the library ``transformers``."""
        state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        if "h.0.attn.c_attn.weight" not in state:
            return None
        ours = {"embedding.words.weight": state["wte.weight"], "positions.weight": state["wpe.weight"]}
        ours["head.weight"] = state.get("lm_head.weight", state["wte.weight"])
        for kind in ("weight", "bias"):
            ours[f"normalization.{kind}"] = state[f"ln_f.{kind}"]
        for number in range(sum(name.endswith(".ln_1.weight") for name in state)):
            theirs, block = f"h.{number}.", f"blocks.{number}."
            for kind in ("weight", "bias"):  # Their matrices are transposed, with queries, keys and values in one.
                for name, part in zip(
                    ("query", "key", "value"), state[f"{theirs}attn.c_attn.{kind}"].chunk(3, -1), strict=True
                ):
                    ours[f"{block}attention.{name}.{kind}"] = part.mT if kind == "weight" else part
                for name, other in LAYERS.items():
                    tensor = state[f"{theirs}{other}.{kind}"]
                    ours[f"{block}{name}.{kind}"] = tensor.mT if tensor.ndim == 2 else tensor
        return ours


def last_steps(
    hidden: Float[Tensor, "batch time hidden"], lengths: Int[Tensor, " batch"] | None
) -> Float[Tensor, "batch hidden"]:
    """Returns the vector at the last real step of each sequence."""
    if lengths is None:
        return hidden[:, -1]
    last = lengths.to(hidden.device).clamp(min=1) - 1
    return hidden.gather(1, last[:, None, None].expand(-1, -1, hidden.shape[-1])).squeeze(1)


LAYERS = {
    "attention.output": "attn.c_proj",
    "attention_norm": "ln_1",
    "feedforward.expand": "mlp.c_fc",
    "feedforward.contract": "mlp.c_proj",
    "feedforward_norm": "ln_2",
}
"""GPT-2's names of the layers of a block."""
