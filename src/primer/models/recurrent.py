"""What the recurrent networks share: all but the cell."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from primer.errors import InputError
from primer.models.base import Model
from primer.models.initialization import Initialization, initialize
from primer.models.layers import check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import PADDING, Classes, Image, Series, Spec, Tags, Tokens, Values


class Recurrent(Model):
    """Reads a sequence step by step, then says one thing of the whole of it, or one of each step.

    Tokens are embedded first, series are read as they are, and an image is a sequence of its rows, from the top.
    A label of the whole follows from the states at which the reading ends: that after the last real step and, going
    backward, that after the first. Padding is not read: sequences are packed, so that the backward direction starts
    at the last real step.

    Args:
        spec: what the data set offers.
        embedding_size: the length of the vector of a token; without meaning for other inputs.
        hidden_size: the length of the state, for each direction.
        num_layers: how many layers, each reading the states of the one before.
        bidirectional: whether the sequence is read from both ends (Schuster and Paliwal 1997).
        normalization: of the last layer's states: none, or layer normalization (Ba et al. 2016).
        initialization: of the weights.
        dropout: the share of values that is dropped in training after the embedding, between layers and before the
            head, never on the way from one step to the next (Zaremba et al. 2014).
        sparse: whether the embedding's gradient holds only the tokens of a batch, for optimizer=sparse_adam.
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, a rate outside [0, 1), an unknown name, or tags for the rows of an image.
    """

    inputs = Tokens | Series | Image
    targets = Classes | Tags | Values

    def __init__(
        self,
        spec: Spec,
        embedding_size: int = 128,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        normalization: Literal["none", "layer"] = "none",
        initialization: Initialization = "default",
        dropout: float = 0.0,
        sparse: bool = False,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size, num_layers=num_layers)
        check_rate("dropout", dropout)
        if normalization not in ("none", "layer"):
            raise InputError(f"normalization must be one of none, layer, not {normalization!r}")
        if isinstance(spec.input, Image) and isinstance(spec.target, Tags):
            raise InputError(f"{type(self).__name__} has one label for an image, not tags for its rows")
        self.directions = 2 if bidirectional else 1
        self.tags = isinstance(spec.target, Tags)
        self.embedding, features = None, _features(spec)
        if isinstance(spec.input, Tokens):
            features = embedding_size
            self.embedding = nn.Embedding(len(spec.input.vocabulary), features, padding_idx=PADDING, sparse=sparse)
            self.embedding.weight.sparse = sparse  # type: ignore[attr-defined]  # primer.optim.SparseAdam looks here.
        self.recurrence = self.layers(
            input_size=features,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
            batch_first=True,
        )
        states = self.directions * hidden_size
        self.normalization = nn.LayerNorm(states) if normalization == "layer" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(states, self.outputs)
        initialize(self, initialization)
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight[PADDING].detach())

    @abstractmethod
    def layers(self, **settings: Any) -> nn.RNNBase:
        """The recurrent layers, from the settings that all kinds of them share."""

    def forward(  # type: ignore[override]
        self, inputs: Tensor, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """``(batch, time)`` tokens, a ``(batch, time, features)`` series or ``(batch, channels, height, width)`` images
        in. Without ``lengths`` every step is real."""
        steps = self.steps(inputs)
        if lengths is None:
            states, final = self.recurrence(steps)
        else:
            # A sequence without any step is read as one step of padding: packing knows no empty ones.
            lengths = lengths.cpu().clamp(min=1)
            packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
            states, final = self.recurrence(packed)
            if self.tags:
                states, _ = pad_packed_sequence(states, batch_first=True, total_length=steps.shape[1])
        if not self.tags:
            hidden = final[0] if isinstance(final, tuple) else final  # An LSTM's is a pair with the cell's state.
            states = torch.cat(tuple(hidden[-self.directions :]), dim=-1)
        return self.head(self.dropout(self.normalization(states)))

    def steps(self, inputs: Tensor) -> Float[Tensor, "batch time features"]:
        """What is read at each step."""
        if self.embedding is not None:
            return self.dropout(self.embedding(inputs))
        return inputs.transpose(1, 2).flatten(2) if inputs.ndim == 4 else inputs


def _features(spec: Spec) -> int:
    if isinstance(spec.input, Image):
        return spec.input.channels * spec.input.width
    return spec.input.features if isinstance(spec.input, Series) else 0
