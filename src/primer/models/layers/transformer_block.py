"""The block of which every Transformer is a stack: attention and a feedforward network, each with a residual."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from primer.errors import InputError
from primer.models.layers.multi_head_attention import KeyValues, MultiHeadAttention, Rotation
from primer.models.layers.validation import check_rate, check_sizes

BlockNorm = Literal["layer", "rms"]
BlockActivation = Literal["gelu", "gelu_tanh", "relu", "relu2", "swiglu"]


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention if there is a second sequence, and a feedforward network. The output of each is
    added to its input.

    Args:
        hidden_size: size of the vectors.
        num_heads: number of attention heads.
        feedforward_size: size of the hidden layer of the feedforward network.
        norm_first: whether to normalize the input of each part (pre-norm: Xiong et al. 2020) or the sum of its input
            and output (post-norm: Vaswani et al. 2017). Deep stacks train without a warm-up only if it is true.
        normalization: ``layer`` (Ba et al. 2016) or ``rms`` (Zhang and Sennrich 2019).
        activation: see ``FeedForward``.
        bias: whether linear layers and layer normalization have a bias.
        qk_norm: see ``MultiHeadAttention``.
        cross_attention: whether the block also attends to a second sequence.
        eps: added to the variance by normalization.
        dropout: dropout probability of the output of each part.
        attention_dropout: dropout probability of the attention weights.
        feedforward_dropout: dropout probability of the hidden layer of the feedforward network.
        stochastic_depth: probability of skipping each part for a sample in training (Huang et al. 2016).

    Raises:
        InputError: if a size is less than 1, a probability is outside [0, 1), or a name is unknown.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        feedforward_size: int,
        *,
        norm_first: bool = True,
        normalization: str = "layer",
        activation: str = "gelu",
        bias: bool = True,
        qk_norm: bool = False,
        cross_attention: bool = False,
        eps: float = 1e-5,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        feedforward_dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        check_rate("dropout", dropout)
        check_rate("stochastic_depth", stochastic_depth)
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(hidden_size, num_heads, bias, qk_norm, attention_dropout)
        self.attention_norm = block_norm(normalization, hidden_size, eps, bias)
        self.cross_attention = self.cross_norm = None
        if cross_attention:
            self.cross_attention = MultiHeadAttention(hidden_size, num_heads, bias, qk_norm, attention_dropout)
            self.cross_norm = block_norm(normalization, hidden_size, eps, bias)
        self.feedforward = FeedForward(hidden_size, feedforward_size, activation, bias, feedforward_dropout)
        self.feedforward_norm = block_norm(normalization, hidden_size, eps, bias)
        self.dropout = nn.Dropout(dropout)
        self.skip = StochasticDepth(stochastic_depth, "row") if stochastic_depth else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch time hidden"],
        *,
        mask: Bool[Tensor, "batch 1 1 time"] | None = None,
        causal: bool = False,
        rotation: Rotation | None = None,
        cache: KeyValues | None = None,
        memory: KeyValues | None = None,
        memory_mask: Bool[Tensor, "batch 1 1 source"] | None = None,
    ) -> tuple[Float[Tensor, "batch time hidden"], KeyValues]:
        """Returns the new vectors, and the keys and values of the self-attention, which are the next ``cache``.

        Args:
            x: vectors.
            mask, causal, rotation, cache: of the self-attention, see ``MultiHeadAttention.forward``.
            memory, memory_mask: keys and values of the second sequence, from ``cross_attention.project``, and True at
                its real steps.
        """
        given = self.attention_norm(x) if self.norm_first else x
        out, seen = self.attention(given, mask=mask, causal=causal, rotation=rotation, cache=cache)
        x = self._add(x, out, self.attention_norm)
        if self.cross_attention is not None and self.cross_norm is not None:
            given = self.cross_norm(x) if self.norm_first else x
            out, _ = self.cross_attention(given, memory=memory, mask=memory_mask)
            x = self._add(x, out, self.cross_norm)
        given = self.feedforward_norm(x) if self.norm_first else x
        return self._add(x, self.feedforward(given), self.feedforward_norm), seen

    def _add(self, x: Tensor, out: Tensor, norm: nn.Module) -> Tensor:
        total = x + self.skip(self.dropout(out))
        return total if self.norm_first else norm(total)


class FeedForward(nn.Module):
    r"""Two linear layers with an activation in between, applied at each position.

    Args:
        hidden_size: size of the vectors.
        feedforward_size: size of the hidden layer.
        activation: ``gelu``; ``gelu_tanh``, its approximation in GPT-2 (Hendrycks and Gimpel 2016); ``relu``;
            ``relu2``, the square of ReLU (So et al. 2021); or ``swiglu``, :math:`\mathrm{silu}(W_1 x) \odot W_2 x`
            (Shazeer 2020), which has half as many weights again as the others.
        bias: whether the layers have a bias.
        dropout: dropout probability of the hidden layer.

    Raises:
        InputError: if a size is less than 1 or the activation is unknown.
    """

    def __init__(
        self, hidden_size: int, feedforward_size: int, activation: str, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_sizes(feedforward_size=feedforward_size)
        if activation not in ("swiglu", *ACTIVATIONS):
            raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}, swiglu, not {activation!r}")
        self.activation = F.silu if activation == "swiglu" else ACTIVATIONS[activation]
        self.expand = nn.Linear(hidden_size, feedforward_size, bias)
        self.gate = nn.Linear(hidden_size, feedforward_size, bias) if activation == "swiglu" else None
        self.contract = nn.Linear(feedforward_size, hidden_size, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "... hidden"]) -> Float[Tensor, "... hidden"]:
        hidden = self.activation(self.expand(x))
        if self.gate is not None:
            hidden = hidden * self.gate(x)
        return self.contract(self.dropout(hidden))


ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
}


def block_norm(name: str, hidden_size: int, eps: float = 1e-5, bias: bool = True) -> nn.Module:
    """Builds a normalization layer over the last dimension: ``layer`` or ``rms``.

    Raises:
        InputError: if the name is unknown.
    """
    if name == "layer":
        return nn.LayerNorm(hidden_size, eps, bias=bias)
    if name == "rms":
        return nn.RMSNorm(hidden_size, eps)
    raise InputError(f"normalization must be one of layer, rms, not {name!r}")


def initialize_blocks(module: nn.Module, num_layers: int, std: float = 0.02) -> None:
    """Initializes linear layers and embeddings as GPT-2 does (Radford et al. 2019, section 2.3): normal with standard
    deviation ``std``, divided by the square root of the number of residual connections where the result is added to
    one, so that the sum has the same variance at any depth. Biases are zero.

    Args:
        module: the model.
        num_layers: number of blocks, with two residual connections each.
        std: standard deviation.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, std=std)
            if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
                nn.init.zeros_(layer.weight.detach()[layer.padding_idx])
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, MultiHeadAttention):
            nn.init.normal_(layer.output.weight, std=std / (2 * num_layers) ** 0.5)
        elif isinstance(layer, FeedForward):
            nn.init.normal_(layer.contract.weight, std=std / (2 * num_layers) ** 0.5)
