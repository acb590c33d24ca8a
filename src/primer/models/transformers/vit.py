"""The Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from primer.models.base import Model
from primer.models.layers.transformer_block import BlockActivation, TransformerBlock, initialize_blocks
from primer.models.layers.validation import check_choice, check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Image, Spec, Values

EPS = 1e-6
"""Added to the variance by normalization, as published."""

MAX_PATCHES = 8
"""Maximum number of patches per side if their size is chosen automatically."""


class ViT(Model):
    """A Transformer that reads an image as a sequence of patches (Dosovitskiy et al. 2021). Each patch is projected to
    a vector, to which a learned vector of its position is added.

    Args:
        spec: description of the data set.
        patch_size: side of the patches in pixels; None for the smallest one from 2 on with at most 8 patches per
            side. Images that it does not divide are padded by repeating their edges.
        hidden_size: size of the vectors.
        num_heads: number of attention heads, which divides ``hidden_size``.
        num_layers: number of blocks.
        feedforward_size: size of the hidden layer of each feedforward network; by default ``4 * hidden_size``.
        pooling: what the last layer reads: ``cls``, an additional vector that takes part in attention, as in the paper,
            or the ``mean`` over all patches (Beyer, Zhai and Kolesnikov 2022).
        activation: of the feedforward networks, see ``primer.models.layers.transformer_block.FeedForward``.
        qk_norm: whether to normalize queries and keys.
        dropout: dropout probability of the embedded patches, of hidden layers, and of the output of each attention and
            feedforward network.
        attention_dropout: dropout probability of the attention weights.
        stochastic_depth: probability of skipping the last block for a sample in training. It increases linearly from
            the first block to the last (Huang et al. 2016).
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the heads do not divide ``hidden_size``, a probability is outside [0, 1),
            or a name is unknown.
    """

    inputs = Image
    targets = Classes | Values
    torchvision_names: ClassVar[dict[str, str]] = {"heads.head.": "head."}

    def __init__(
        self,
        spec: Spec,
        patch_size: int | None = None,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_layers: int = 6,
        feedforward_size: int | None = None,
        pooling: Literal["cls", "mean"] = "cls",
        activation: BlockActivation = "gelu",
        qk_norm: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        feedforward_size = 4 * hidden_size if feedforward_size is None else feedforward_size
        assert isinstance(spec.input, Image)
        check_sizes(hidden_size=hidden_size, patch_size=1 if patch_size is None else patch_size)
        check_layers(num_layers=num_layers)
        check_rate("stochastic_depth", stochastic_depth)
        check_choice("pooling", pooling, ("cls", "mean"))
        height, width = spec.input.height, spec.input.width
        self.patch_size = side = patch_size or max(2, math.ceil(max(height, width) / MAX_PATCHES))
        patches = math.ceil(height / side) * math.ceil(width / side)
        self.projection = nn.Conv2d(spec.input.channels, hidden_size, kernel_size=side, stride=side)
        self.cls = nn.Parameter(torch.zeros(hidden_size)) if pooling == "cls" else None
        self.positions = nn.Embedding(patches + (self.cls is not None), hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                hidden_size, num_heads, feedforward_size, activation=activation, qk_norm=qk_norm,
                eps=EPS, dropout=dropout, attention_dropout=attention_dropout, feedforward_dropout=dropout,
                stochastic_depth=stochastic_depth * (number + 1) / num_layers,
            )
            for number in range(num_layers)
        )  # fmt: skip
        self.normalization = nn.LayerNorm(hidden_size, EPS)
        self.head = nn.Linear(hidden_size, self.outputs)
        initialize_blocks(self, num_layers)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:  # type: ignore[override]
        x = self.projection(pad_to_patches(inputs, self.patch_size)).flatten(2).transpose(1, 2)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(x.shape[0], 1, -1), x], dim=1)
        x = self.dropout(x + self.positions.weight)
        for block in self.blocks:
            x, _ = block(x)
        x = self.normalization(x)
        return self.head(x.mean(1) if self.cls is None else x[:, 0])

    def position_vectors(self) -> Float[Tensor, "patches hidden"]:
        """Returns the learned vectors of the patches, row by row."""
        return self.positions.weight if self.cls is None else self.positions.weight[1:]

    def depth_groups(self) -> list[list[nn.Module]]:
        return [
            [self.projection, self.positions],
            *([block] for block in self.blocks),
            [self.normalization],
            [self.head],
        ]

    @classmethod
    def torchvision_name(
        cls,
        patch_size: int | None = None,
        hidden_size: int = 128,
        num_heads: int = 4,
        num_layers: int = 6,
        feedforward_size: int | None = None,
        pooling: str = "cls",
        activation: str = "gelu",
        qk_norm: bool = False,
        **_: object,
    ) -> str | None:
        feedforward_size = 4 * hidden_size if feedforward_size is None else feedforward_size
        size = (patch_size or 0, hidden_size, num_heads, num_layers, feedforward_size)
        published = pooling == "cls" and activation == "gelu" and not qk_norm
        return PUBLISHED.get(size) if published else None

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Converts torchvision's parameters."""
        if "conv_proj.weight" not in state:
            return None
        ours = {"cls": state["class_token"].flatten(), "positions.weight": state["encoder.pos_embedding"][0]}
        for kind in ("weight", "bias"):
            ours[f"projection.{kind}"] = state[f"conv_proj.{kind}"]
            ours[f"normalization.{kind}"] = state[f"encoder.ln.{kind}"]
            ours[f"head.{kind}"] = state[f"heads.head.{kind}"]
            for number in range(sum(name.endswith(".ln_1.weight") for name in state)):
                theirs, block = f"encoder.layers.encoder_layer_{number}.", f"blocks.{number}."
                parts = state[f"{theirs}self_attention.in_proj_{kind}"].chunk(3)
                for name, part in zip(("query", "key", "value"), parts, strict=True):
                    ours[f"{block}attention.{name}.{kind}"] = part
                for name, other in LAYERS.items():
                    ours[f"{block}{name}.{kind}"] = state[f"{theirs}{other}.{kind}"]
        return ours


LAYERS = {
    "attention.output": "self_attention.out_proj",
    "attention_norm": "ln_1",
    "feedforward.expand": "mlp.0",
    "feedforward.contract": "mlp.3",
    "feedforward_norm": "ln_2",
}
"""Torchvision's names of the layers of a block."""

PUBLISHED = {
    (16, 768, 12, 12, 3072): "vit_b_16",
    (32, 768, 12, 12, 3072): "vit_b_32",
    (16, 1024, 16, 24, 4096): "vit_l_16",
    (32, 1024, 16, 24, 4096): "vit_l_32",
}
"""Torchvision's names by patch size, hidden size, heads, layers and feedforward size (table 1 of the paper)."""


def pad_to_patches(images: Tensor, side: int) -> Tensor:
    """Repeats the edges of ``(batch, channels, height, width)`` images until patches divide them."""
    rows, columns = -images.shape[-2] % side, -images.shape[-1] % side
    if not rows and not columns:
        return images
    padding = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return F.pad(images, padding, mode="replicate")
