"""The recurrent encoder-decoder, with or without attention."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.batch import Batch
from primer.models.encoder_decoder.encoder_decoder import EncoderDecoder
from primer.models.layers.attention import ATTENTIONS, Memory
from primer.models.layers.beam import DecoderState, reorder_state
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.packing import pack, recur, unpack
from primer.models.layers.scheduled_sampling import ScheduledSampling
from primer.models.layers.validation import check_choice, check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import PADDING, Sequence, Spec, Tokens


class Seq2Seq(EncoderDecoder):
    """A recurrent encoder reads the source, and a recurrent decoder, initialized with the encoder's final state,
    generates the target token by token (Sutskever, Vinyals and Le 2014; Cho et al. 2014).

    With ``dot`` attention (Luong, Pham and Manning 2015), the output of the decoder cell attends to all states of the
    encoder. Luong's input feeding is omitted, so that the cell processes a whole target in one call. With ``additive``
    attention (Bahdanau, Cho and Bengio 2015), the previous state of the cell attends, and the context vector is an
    input of the next step, so the target is processed step by step.

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
        max_length, beam_size, length_normalization: see ``primer.models.encoder_decoder.encoder_decoder``.
        initialization: weight initialization.
        dropout: dropout probability after the embeddings, between layers and before the output layer.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the dropout probability is outside [0, 1), a teacher forcing probability
            is outside [0, 1], the length normalization is negative, or a name is unknown.
    """

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
        super().__init__(spec, max_length, beam_size, length_normalization, objective)
        assert isinstance(spec.input, Tokens)
        assert isinstance(spec.target, Sequence)
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size)
        check_layers(num_layers=num_layers)
        check_rate("dropout", dropout)
        check_choice("cell", cell, tuple(CELLS))
        check_choice("attention", attention, tuple(ATTENTIONS))
        self.teacher_forcing = teacher_forcing
        self.sampling = ScheduledSampling(teacher_forcing, teacher_forcing_end)
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

    def forward_batch(self, batch: Batch) -> Float[Tensor, "batch target words"]:
        """Returns the logits of each target step given the preceding true tokens, or a mixture of true and predicted
        ones in training with ``teacher_forcing`` below 1."""
        if not self.training or self.teacher_forcing == 1:
            return super().forward_batch(batch)
        assert batch.targets is not None
        memory, state = self.encode(batch.inputs, batch.lengths)
        tokens = self.shift_right(batch.targets)
        steps: list[Tensor] = []
        for token in tokens.split(1, dim=1):
            if steps:
                forced = torch.rand(token.shape, device=token.device) < self.teacher_forcing
                token = torch.where(forced, token, steps[-1].argmax(-1))
            logits, state = self.decode(token, state, memory)
            steps.append(logits)
        return torch.cat(steps, dim=1)

    def repeat_memory(self, memory: Memory, times: int) -> Memory:
        return Memory(*(part.repeat_interleave(times, dim=0) for part in memory))

    def reorder_state(self, state: DecoderState, rows: Int[Tensor, " rows"]) -> DecoderState:
        return reorder_state(state, rows)

    def align(self, batch: Batch, tokens: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target source"] | None:
        memory, state = self.encode(batch.inputs, batch.lengths)
        return self.decode_with_attention(self.shift_right(tokens), state, memory)[2]

    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Memory, DecoderState]:
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
    ) -> tuple[Float[Tensor, "batch target words"], DecoderState]:
        return self.decode_with_attention(tokens, state, memory)[:2]

    def decode_with_attention(
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

    @property
    def recurrence(self) -> nn.Module:
        """The recurrent network that ``primer.callbacks.Gradients`` monitors: the encoder."""
        return self.encoder

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.teacher_forcing = self.sampling.at(self.trainer.current_epoch, self.run_length[1])


CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
