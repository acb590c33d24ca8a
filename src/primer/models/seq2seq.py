"""The encoder-decoder, with and without attention."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.initialization import Initialization, initialize
from primer.models.layers import check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import IGNORE, PADDING, Sequence, Spec, Tokens

State = Tensor | tuple[Tensor, Tensor]
"""Of a GRU the hidden states ``(layers, batch, hidden)``; of an LSTM those and the cells."""


class Seq2Seq(Model):
    """An encoder reads the source, a decoder writes the target token by token from the encoder's last state
    (Sutskever, Vinyals and Le 2014; Cho et al. 2014).

    With ``dot`` attention (Luong, Pham and Manning 2015) the output of the decoder's cell looks back at all states of
    the encoder; Luong's input feeding is left out, so that a whole target runs through the cell in one call. With
    ``additive`` attention (Bahdanau, Cho and Bengio 2015) the cell's last state looks back, and what it finds is
    an input of the next step, so the target runs step by step.

    A batch is answered with the logits of its true targets, ``(batch, target, words)``, each step from the true
    tokens before it. ``forward`` has no targets: it decodes greedily. So losses are teacher-forced, and metrics
    are those of the decoded sequences.

    Args:
        spec: what the data set offers.
        embedding_size: the size of a token's vector, in source and target.
        hidden_size: of the decoder, and of each direction of the encoder.
        num_layers: of the encoder and of the decoder.
        cell: ``gru`` (Cho et al. 2014) or ``lstm`` (Hochreiter and Schmidhuber 1997).
        attention: ``none``, ``additive`` or ``dot``.
        bidirectional: whether the encoder also reads from the end.
        teacher_forcing: the probability that a step of training is fed the true token and not the predicted one
            (scheduled sampling: Bengio et al. 2015), for each sample and step. 1 is fastest.
        max_length: the most tokens that are decoded, ``end`` among them; by default 10 more than twice the source's.
        initialization: of the weights.
        dropout: the share of units that is dropped in training, after embeddings, between layers and before the
            output.
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, a rate outside [0, 1), a probability outside [0, 1] or an unknown name.
    """

    inputs = Tokens
    targets = Sequence

    def __init__(
        self,
        spec: Spec,
        embedding_size: int = 32,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        attention: Literal["none", "additive", "dot"] = "dot",
        bidirectional: bool = True,
        teacher_forcing: float = 1.0,
        max_length: int | None = None,
        initialization: Initialization = "default",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Sequence)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size, num_layers=num_layers)
        check_sizes(max_length=1 if max_length is None else max_length)
        check_rate("dropout", dropout)
        if not 0 <= teacher_forcing <= 1:
            raise InputError(f"teacher_forcing must be from 0 to 1, not {teacher_forcing}")
        if cell not in CELLS:
            raise InputError(f"cell must be one of {', '.join(CELLS)}, not {cell!r}")
        if attention not in ATTENTIONS:
            raise InputError(f"attention must be one of {', '.join(ATTENTIONS)}, not {attention!r}")
        self.start, self.end = spec.target.start, spec.target.end
        self.teacher_forcing, self.max_length = teacher_forcing, max_length
        rnn, attend = CELLS[cell], ATTENTIONS[attention]
        self.directions = 2 if bidirectional else 1
        memory_size = hidden_size * self.directions
        context_size = memory_size if attend else 0
        shape = {"num_layers": num_layers, "batch_first": True, "dropout": dropout if num_layers > 1 else 0.0}

        self.source_embedding = nn.Embedding(len(spec.input.vocabulary), embedding_size, padding_idx=PADDING)
        self.encoder = rnn(embedding_size, hidden_size, bidirectional=bidirectional, **shape)
        self.bridges = nn.ModuleList(
            nn.Sequential(nn.Linear(memory_size, hidden_size), nn.Tanh()) if bidirectional else nn.Identity()
            for _ in range(2 if cell == "lstm" else 1)
        )
        self.attention = attend(hidden_size, memory_size) if attend else None
        self.target_embedding = nn.Embedding(len(spec.target.vocabulary), embedding_size, padding_idx=PADDING)
        self.feeding = attention == "additive"
        self.decoder = rnn(embedding_size + (context_size if self.feeding else 0), hidden_size, **shape)
        combine = [nn.Linear(hidden_size + context_size, hidden_size), nn.Tanh()] if attend else []
        self.head = nn.Sequential(*combine, nn.Dropout(dropout), nn.Linear(hidden_size, self.outputs))
        self.dropout = nn.Dropout(dropout)
        initialize(self, initialization)

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch target words"]:
        """The logits of the sequences that are decoded greedily: the argmax of each step is its token and the input
        of the next. It stops once all rows have ended; what follows the end of a row means nothing."""
        memory, state = self.encode(inputs, lengths)
        limits = self.limits(inputs, lengths)
        word = torch.full_like(inputs[:, :1], self.start)
        ended = torch.zeros_like(limits, dtype=torch.bool)
        steps: list[Tensor] = []
        for step in range(self.max_length or longest(inputs.shape[1])):
            logits, state = self.decode(word, state, memory)
            steps.append(logits)
            word = logits.argmax(-1)
            ended = ended | (word[:, 0] == self.end) | (step + 1 >= limits)
            # An exported graph cannot depend on what is decoded, so it always runs to the limit.
            if not torch.compiler.is_exporting() and ended.all():
                break
        return torch.cat(steps, dim=1)

    def respond(self, batch: Batch) -> Float[Tensor, "batch target words"]:
        """The logits of each step of the targets, from the true tokens before it; in training with
        ``teacher_forcing`` under 1, from true and predicted ones."""
        assert batch.targets is not None
        memory, state = self.encode(batch.inputs, batch.lengths)
        words = torch.cat([torch.full_like(batch.targets[:, :1], self.start), batch.targets[:, :-1]], dim=1)
        words = words.masked_fill(words == IGNORE, PADDING)
        if not self.training or self.teacher_forcing == 1:
            return self.decode(words, state, memory)[0]
        steps: list[Tensor] = []
        for word in words.split(1, dim=1):
            if steps:
                forced = torch.rand(word.shape, device=word.device) < self.teacher_forcing
                word = torch.where(forced, word, steps[-1].argmax(-1))
            logits, state = self.decode(word, state, memory)
            steps.append(logits)
        return torch.cat(steps, dim=1)

    def predict(self, batch: Batch, outputs: Tensor | None = None) -> Int[Tensor, "batch target"]:
        """The tokens that are decoded greedily, and padding after ``end``. ``outputs`` saw the true targets, so they
        are of no use here."""
        tokens = self.objective.predict(self(batch.inputs, batch.lengths))
        place = torch.arange(tokens.shape[1], device=tokens.device)
        ends = torch.where(tokens == self.end, place, tokens.shape[1]).amin(dim=1)
        lasts = torch.minimum(ends, self.limits(batch.inputs, batch.lengths) - 1)
        return tokens.masked_fill(place > lasts[:, None], PADDING)

    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Memory, State]:
        """What the decoder can look back at, and its first state."""
        embedded = self.dropout(self.source_embedding(inputs))
        if lengths is None:
            states, last = self.encoder(embedded)
            padding = torch.zeros_like(inputs, dtype=torch.bool)
        else:
            packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self.encoder(packed)
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=inputs.shape[1])
            padding = torch.arange(inputs.shape[1], device=inputs.device) >= lengths.to(inputs.device)[:, None]
        keys = states if self.attention is None else self.attention.key(states)
        parts = last if isinstance(last, tuple) else (last,)
        joined = (part.unflatten(0, (-1, self.directions)).transpose(1, 2).flatten(2) for part in parts)
        first = tuple(bridge(part) for bridge, part in zip(self.bridges, joined, strict=True))
        return Memory(states, keys, padding), first if isinstance(last, tuple) else first[0]

    def decode(
        self, words: Int[Tensor, "batch target"], state: State, memory: Memory
    ) -> tuple[Float[Tensor, "batch target words"], State]:
        """The logits after each of some tokens, and the state after the last."""
        embedded = self.dropout(self.target_embedding(words))
        if self.attention is None:
            outputs, state = self.decoder(embedded, state)
            return self.head(outputs), state
        if not self.feeding:
            outputs, state = self.decoder(embedded, state)
            return self.head(torch.cat([outputs, self.attention(outputs, memory)[0]], dim=-1)), state
        steps: list[Tensor] = []
        for word in embedded.split(1, dim=1):
            hidden = state[0] if isinstance(state, tuple) else state
            context, _ = self.attention(hidden[-1][:, None], memory)
            output, state = self.decoder(torch.cat([word, context], dim=-1), state)
            steps.append(torch.cat([output, context], dim=-1))
        return self.head(torch.cat(steps, dim=1)), state

    def limits(self, inputs: Tensor, lengths: Tensor | None) -> Int[Tensor, " batch"]:
        """The most tokens that may be decoded for each row. It depends on the row alone, not on its padding."""
        if self.max_length is not None or lengths is None:
            return torch.full_like(inputs[:, 0], self.max_length or longest(inputs.shape[1]))
        return longest(lengths.to(inputs.device))


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
    r"""Luong's general form, :math:`s^\top W h_j`, over the root of the size (Vaswani et al. 2017) so that the first
    softmax is not too sharp."""

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])


class Additive(Attention):
    r"""Bahdanau's :math:`v^\top \tanh(W s + U h_j)`."""

    def __init__(self, hidden_size: int, memory_size: int) -> None:
        super().__init__(hidden_size, memory_size)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.energy = nn.Linear(hidden_size, 1, bias=False)

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.energy((self.query(queries)[:, :, None] + keys[:, None]).tanh()).squeeze(-1)


CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
ATTENTIONS: dict[str, type[Attention] | None] = {"none": None, "additive": Additive, "dot": Dot}


def longest(source: Any) -> Any:
    """The most tokens that are decoded for a source of a length, or for each of several."""
    return 2 * source + 10
