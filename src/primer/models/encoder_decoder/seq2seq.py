"""The recurrent encoder-decoder, with or without attention."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.attention import ATTENTIONS, Memory
from primer.models.layers.beam import DecoderState, beam_search, pad_after_end
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.packing import pack, recur, unpack
from primer.models.layers.scheduled_sampling import ScheduledSampling
from primer.models.layers.validation import check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import IGNORE, PADDING, Sequence, Spec, Tokens


class Seq2Seq(Model):
    """A recurrent encoder reads the source, and a recurrent decoder, initialized with the encoder's final state,
    generates the target token by token (Sutskever, Vinyals and Le 2014; Cho et al. 2014).

    With ``dot`` attention (Luong, Pham and Manning 2015), the output of the decoder cell attends to all states of the
    encoder. Luong's input feeding is omitted, so that the cell processes a whole target in one call. With ``additive``
    attention (Bahdanau, Cho and Bengio 2015), the previous state of the cell attends, and the context vector is an
    input of the next step, so the target is processed step by step.

    ``forward_batch`` returns the teacher-forced logits of the targets, ``(batch, target, vocabulary)``. ``forward`` has
    no targets and decodes greedily. Hence losses are teacher-forced, while metrics evaluate decoded sequences: greedily
    in validation, for speed, and with beam search otherwise.

    Args:
        spec: description of the data set.
        embedding_size: size of the token embeddings of source and target.
        hidden_size: state size of the decoder and of each direction of the encoder.
        num_layers: number of layers of the encoder and of the decoder.
        cell: ``gru`` (Cho et al. 2014) or ``lstm`` (Hochreiter and Schmidhuber 1997).
        attention: ``none``, ``additive`` or ``dot``.
        bidirectional: whether the encoder is bidirectional.
        teacher_forcing: probability that a training step feeds the true token instead of the predicted one, for each
            sample and step (scheduled sampling: Bengio et al. 2015). 1 is fastest.
        teacher_forcing_end: the same probability in the last epoch, reached linearly; None keeps it constant.
        max_length: maximum number of decoded tokens, including ``end``; by default twice the source length plus 10.
        beam_size: number of hypotheses of the beam search (``primer.models.layers.beam``); 1 decodes greedily.
        length_normalization: exponent of the length penalty of the beam search (Wu et al. 2016).
        initialization: weight initialization.
        dropout: dropout probability after the embeddings, between layers and before the output layer.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the dropout probability is outside [0, 1), a teacher forcing probability
            is outside [0, 1], the length normalization is negative, or a name is unknown.
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
        teacher_forcing_end: float | None = None,
        max_length: int | None = None,
        beam_size: int = 1,
        length_normalization: float = 0.6,
        initialization: Initialization = "default",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Sequence)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size)
        check_layers(num_layers=num_layers)
        check_sizes(max_length=1 if max_length is None else max_length, beam_size=beam_size)
        check_rate("dropout", dropout)
        if length_normalization < 0:
            raise InputError(f"length_normalization must be at least 0, not {length_normalization}")
        for name, value, valid in (("cell", cell, CELLS), ("attention", attention, ATTENTIONS)):
            if value not in valid:
                raise InputError(f"{name} must be one of {', '.join(valid)}, not {value!r}")
        self.start, self.end = spec.target.start, spec.target.end
        self.teacher_forcing, self.max_length = teacher_forcing, max_length
        self.sampling = ScheduledSampling(teacher_forcing, teacher_forcing_end)
        self.beam_size, self.length_normalization = beam_size, length_normalization
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
        self.feeds_context = attention == "additive"
        self.decoder = rnn(embedding_size + (context_size if self.feeds_context else 0), hidden_size, **shape)
        combine = [nn.Linear(hidden_size + context_size, hidden_size), nn.Tanh()] if attend else []
        self.head = nn.Sequential(*combine, nn.Dropout(dropout), nn.Linear(hidden_size, self.outputs))
        self.dropout = nn.Dropout(dropout)
        initialize(self, initialization)

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not (isinstance(spec.input, Tokens) and isinstance(spec.target, Sequence)):
            return {}
        output = f"head.{len(self.head) - 1}"
        names = ("target_embedding.weight", f"{output}.weight", f"{output}.bias")
        return {"source_embedding.weight": spec.input.vocabulary} | dict.fromkeys(names, spec.target.vocabulary)

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch target words"]:
        """Decodes greedily and returns the logits: the argmax of each step is its token and the input of the next step.
        Decoding stops once all rows have ended; logits after the end of a row are meaningless."""
        memory, state = self.encode(inputs, lengths)
        max_lengths = self.max_lengths(inputs, lengths)
        token = torch.full_like(inputs[:, :1], self.start)
        done = torch.zeros_like(max_lengths, dtype=torch.bool)
        steps: list[Tensor] = []
        for step in range(self.max_length or default_max_length(inputs.shape[1])):
            logits, state, _ = self.decode(token, state, memory)
            steps.append(logits)
            token = logits.argmax(-1)
            done = done | (token[:, 0] == self.end) | (step + 1 >= max_lengths)
            # An exported graph cannot branch on decoded tokens, so it always runs to the maximum length.
            if not torch.compiler.is_exporting() and done.all():
                break
        return torch.cat(steps, dim=1)

    def forward_batch(self, batch: Batch) -> Float[Tensor, "batch target words"]:
        """Returns the logits of each target step given the preceding true tokens, or a mixture of true and predicted
        ones in training with ``teacher_forcing`` below 1."""
        assert batch.targets is not None
        memory, state = self.encode(batch.inputs, batch.lengths)
        tokens = self.shift_right(batch.targets)
        if not self.training or self.teacher_forcing == 1:
            return self.decode(tokens, state, memory)[0]
        steps: list[Tensor] = []
        for token in tokens.split(1, dim=1):
            if steps:
                forced = torch.rand(token.shape, device=token.device) < self.teacher_forcing
                token = torch.where(forced, token, steps[-1].argmax(-1))
            logits, state, _ = self.decode(token, state, memory)
            steps.append(logits)
        return torch.cat(steps, dim=1)

    def predict_batch(self, batch: Batch, outputs: Tensor | None = None) -> Int[Tensor, "batch target"]:
        """Decodes tokens and pads after ``end``. ``outputs`` are computed from the true targets, so they are of no
        use here."""
        if self.beam_size > 1 and self.evaluation.stage != "val":
            return self.search(batch)[0]
        tokens = self.objective.predict(self(batch.inputs, batch.lengths))
        return pad_after_end(tokens, self.max_lengths(batch.inputs, batch.lengths), self.end)

    def search(self, batch: Batch) -> tuple[Int[Tensor, "batch target"], Float[Tensor, " batch"]]:
        """Returns the best sequences found by beam search, and their scores."""
        memory, state = self.encode(batch.inputs, batch.lengths)
        memory = Memory(*(part.repeat_interleave(self.beam_size, dim=0) for part in memory))

        def step(tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
            logits, state, _ = self.decode(tokens, state, memory)
            return logits[:, -1], state

        return beam_search(
            step, state, self.max_lengths(batch.inputs, batch.lengths), start=self.start, end=self.end,
            beam_size=self.beam_size, length_normalization=self.length_normalization,
        )  # fmt: skip

    def align(self, batch: Batch, tokens: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target source"] | None:
        """Returns the attention weights over the source of each step that generates ``tokens``; None without
        attention."""
        memory, state = self.encode(batch.inputs, batch.lengths)
        return self.decode(self.shift_right(tokens), state, memory)[2]

    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Memory, DecoderState]:
        """Returns the memory that the decoder attends to, and its initial state."""
        embedded, total_length = self.dropout(self.source_embedding(inputs)), inputs.shape[1]
        exporting = torch.compiler.is_exporting()  # A graph cannot branch on lengths.
        if lengths is not None and (exporting or (lengths < total_length).any()):  # Packing is slower.
            embedded = pack(embedded, lengths)
        states, last = recur(self.encoder, embedded)
        states, real = unpack(states, total_length)
        keys = states if self.attention is None else self.attention.key(states)
        parts = last if isinstance(last, tuple) else (last,)
        joined = (part.unflatten(0, (-1, self.directions)).transpose(1, 2).flatten(2) for part in parts)
        initial = tuple(bridge(part) for bridge, part in zip(self.bridges, joined, strict=True))
        return Memory(states, keys, ~real), initial if isinstance(last, tuple) else initial[0]

    def decode(
        self, tokens: Int[Tensor, "batch target"], state: DecoderState, memory: Memory
    ) -> tuple[Float[Tensor, "batch target words"], DecoderState, Float[Tensor, "batch target source"] | None]:
        """Returns the logits after each token, the final state, and the attention weights."""
        embedded = self.dropout(self.target_embedding(tokens))
        if self.attention is None:
            outputs, state = recur(self.decoder, embedded, state)
            return self.head(outputs), state, None
        if not self.feeds_context:
            outputs, state = recur(self.decoder, embedded, state)
            context, weights = self.attention(outputs, memory)
            return self.head(torch.cat([outputs, context], dim=-1)), state, weights
        steps, all_weights = [], []
        for token in embedded.split(1, dim=1):
            hidden = state[0] if isinstance(state, tuple) else state
            context, weights = self.attention(hidden[-1][:, None], memory)
            output, state = recur(self.decoder, torch.cat([token, context], dim=-1), state)
            steps.append(torch.cat([output, context], dim=-1))
            all_weights.append(weights)
        return self.head(torch.cat(steps, dim=1)), state, torch.cat(all_weights, dim=1)

    def shift_right(self, tokens: Int[Tensor, "batch target"]) -> Int[Tensor, "batch target"]:
        """Returns the decoder inputs that generate ``tokens``: shifted by one step, starting with ``start``."""
        shifted = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORE, PADDING)

    def max_lengths(self, inputs: Tensor, lengths: Tensor | None) -> Int[Tensor, " batch"]:
        """Returns the maximum number of tokens to decode for each row. It does not depend on padding."""
        if self.max_length is not None or lengths is None:
            return torch.full_like(inputs[:, 0], self.max_length or default_max_length(inputs.shape[1]))
        return default_max_length(lengths.to(inputs.device))

    @property
    def recurrence(self) -> nn.Module:
        """The recurrent network that ``primer.callbacks.Gradients`` monitors: the encoder."""
        return self.encoder

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.teacher_forcing = self.sampling.at(self.trainer.current_epoch, self.run_length[1])


CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


def default_max_length(source_length: Any) -> Any:
    """Returns the default maximum number of decoded tokens for one source length or a tensor of them."""
    return 2 * source_length + 10
