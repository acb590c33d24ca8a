"""The encoder-decoder, with and without attention."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.attention import ATTENTIONS, Memory
from primer.models.layers.beam import State, beam_search, pad_after_end
from primer.models.layers.blocks import check_rate, check_sizes
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.recurrence import unpacked
from primer.models.layers.scheduled_sampling import ScheduledSampling
from primer.objectives import Objective
from primer.spec import IGNORE, PADDING, Sequence, Spec, Tokens


class Seq2Seq(Model):
    """An encoder reads the source, a decoder writes the target token by token from the encoder's last state
    (Sutskever, Vinyals and Le 2014; Cho et al. 2014).

    With ``dot`` attention (Luong, Pham and Manning 2015) the output of the decoder's cell looks back at all states of
    the encoder; Luong's input feeding is left out, so that a whole target runs through the cell in one call. With
    ``additive`` attention (Bahdanau, Cho and Bengio 2015) the cell's last state looks back, and what it finds is
    an input of the next step, so the target runs step by step.

    A batch is answered with the logits of its true targets, ``(batch, target, words)``, each step from the true
    tokens before it. ``forward`` has no targets: it decodes greedily. So losses are teacher-forced, and metrics
    are those of the decoded sequences: in validation greedily, for speed, else with the beam.

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
        teacher_forcing_end: the same in the last epoch, reached in equal steps; by default it stays as it is.
        max_length: the most tokens that are decoded, ``end`` among them; by default 10 more than twice the source's.
        beam_size: how many hypotheses are followed at a time (``primer.models.layers.beam``); 1 decodes greedily.
        length_normalization: the power of its length that the beam divides a log-probability by (Wu et al. 2016).
        initialization: of the weights.
        dropout: the share of units that is dropped in training, after embeddings, between layers and before the
            output.
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, a rate outside [0, 1), a probability outside [0, 1], a negative power or an
            unknown name.
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
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size, num_layers=num_layers)
        check_sizes(max_length=1 if max_length is None else max_length, beam_size=beam_size)
        check_rate("dropout", dropout)
        if length_normalization < 0:
            raise InputError(f"length_normalization must be at least 0, not {length_normalization}")
        for name, choice, known in (("cell", cell, CELLS), ("attention", attention, ATTENTIONS)):
            if choice not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, not {choice!r}")
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
        self.feeding = attention == "additive"
        self.decoder = rnn(embedding_size + (context_size if self.feeding else 0), hidden_size, **shape)
        combine = [nn.Linear(hidden_size + context_size, hidden_size), nn.Tanh()] if attend else []
        self.head = nn.Sequential(*combine, nn.Dropout(dropout), nn.Linear(hidden_size, self.outputs))
        self.dropout = nn.Dropout(dropout)
        initialize(self, initialization)

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not (isinstance(spec.input, Tokens) and isinstance(spec.target, Sequence)):
            return {}
        written = ("target_embedding.weight", *(f"head.{len(self.head) - 1}.{kind}" for kind in ("weight", "bias")))
        return {"source_embedding.weight": spec.input.vocabulary} | dict.fromkeys(written, spec.target.vocabulary)

    def forward(  # type: ignore[override]
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch target words"]:
        """The logits of the sequences that are decoded greedily: the argmax of each step is its token and the input
        of the next. It stops once all rows have ended; what follows the end of a row means nothing."""
        memory, state = self.encode(inputs, lengths)
        limits = self.limits(inputs, lengths)
        word = torch.full_like(inputs[:, :1], self.start)
        through = torch.zeros_like(limits, dtype=torch.bool)
        steps: list[Tensor] = []
        for step in range(self.max_length or longest(inputs.shape[1])):
            logits, state, _ = self.decode(word, state, memory)
            steps.append(logits)
            word = logits.argmax(-1)
            through = through | (word[:, 0] == self.end) | (step + 1 >= limits)
            # An exported graph cannot depend on what is decoded, so it always runs to the limit.
            if not torch.compiler.is_exporting() and through.all():
                break
        return torch.cat(steps, dim=1)

    def forward_batch(self, batch: Batch) -> Float[Tensor, "batch target words"]:
        """The logits of each step of the targets, from the true tokens before it; in training with
        ``teacher_forcing`` under 1, from true and predicted ones."""
        assert batch.targets is not None
        memory, state = self.encode(batch.inputs, batch.lengths)
        words = self.shifted(batch.targets)
        if not self.training or self.teacher_forcing == 1:
            return self.decode(words, state, memory)[0]
        steps: list[Tensor] = []
        for word in words.split(1, dim=1):
            if steps:
                forced = torch.rand(word.shape, device=word.device) < self.teacher_forcing
                word = torch.where(forced, word, steps[-1].argmax(-1))
            logits, state, _ = self.decode(word, state, memory)
            steps.append(logits)
        return torch.cat(steps, dim=1)

    def predict(self, batch: Batch, outputs: Tensor | None = None) -> Int[Tensor, "batch target"]:
        """The tokens that are decoded, and padding after ``end``. ``outputs`` saw the true targets, so they are of no
        use here."""
        if self.beam_size > 1 and self.evaluation.stage != "val":
            return self.search(batch)[0]
        tokens = self.objective.predict(self(batch.inputs, batch.lengths))
        return pad_after_end(tokens, self.limits(batch.inputs, batch.lengths), self.end)

    def search(self, batch: Batch) -> tuple[Int[Tensor, "batch target"], Float[Tensor, " batch"]]:
        """The best sequences that the beam finds, and their scores."""
        memory, state = self.encode(batch.inputs, batch.lengths)
        memory = Memory(*(part.repeat_interleave(self.beam_size, dim=0) for part in memory))

        def step(words: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state, _ = self.decode(words, state, memory)
            return logits[:, -1], state

        return beam_search(
            step, state, self.limits(batch.inputs, batch.lengths), start=self.start, end=self.end,
            beam_size=self.beam_size, length_normalization=self.length_normalization,
        )  # fmt: skip

    def align(self, batch: Batch, tokens: Int[Tensor, "batch target"]) -> Float[Tensor, "batch target source"] | None:
        """Where the decoder looks as it writes ``tokens``: the weights of each step over the source. None without
        attention."""
        memory, state = self.encode(batch.inputs, batch.lengths)
        return self.decode(self.shifted(tokens), state, memory)[2]

    def encode(
        self, inputs: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"] | None = None
    ) -> tuple[Memory, State]:
        """What the decoder can look back at, and its first state."""
        embedded, total = self.dropout(self.source_embedding(inputs)), inputs.shape[1]
        if lengths is not None and (lengths < total).any():  # What is not packed is read faster.
            embedded = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.encoder(embedded)
        states, real = unpacked(states, total)
        keys = states if self.attention is None else self.attention.key(states)
        parts = last if isinstance(last, tuple) else (last,)
        joined = (part.unflatten(0, (-1, self.directions)).transpose(1, 2).flatten(2) for part in parts)
        first = tuple(bridge(part) for bridge, part in zip(self.bridges, joined, strict=True))
        return Memory(states, keys, ~real), first if isinstance(last, tuple) else first[0]

    def decode(
        self, words: Int[Tensor, "batch target"], state: State, memory: Memory
    ) -> tuple[Float[Tensor, "batch target words"], State, Float[Tensor, "batch target source"] | None]:
        """The logits after each of some tokens, the state after the last, and the weights of attention."""
        embedded = self.dropout(self.target_embedding(words))
        if self.attention is None:
            outputs, state = self.decoder(embedded, state)
            return self.head(outputs), state, None
        if not self.feeding:
            outputs, state = self.decoder(embedded, state)
            context, weights = self.attention(outputs, memory)
            return self.head(torch.cat([outputs, context], dim=-1)), state, weights
        steps, looks = [], []
        for word in embedded.split(1, dim=1):
            hidden = state[0] if isinstance(state, tuple) else state
            context, weights = self.attention(hidden[-1][:, None], memory)
            output, state = self.decoder(torch.cat([word, context], dim=-1), state)
            steps.append(torch.cat([output, context], dim=-1))
            looks.append(weights)
        return self.head(torch.cat(steps, dim=1)), state, torch.cat(looks, dim=1)

    def shifted(self, tokens: Int[Tensor, "batch target"]) -> Int[Tensor, "batch target"]:
        """What the decoder is fed to write ``tokens``."""
        words = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens[:, :-1]], dim=1)
        return words.masked_fill(words == IGNORE, PADDING)

    def limits(self, inputs: Tensor, lengths: Tensor | None) -> Int[Tensor, " batch"]:
        """The most tokens that may be decoded for each row. It depends on the row alone, not on its padding."""
        if self.max_length is not None or lengths is None:
            return torch.full_like(inputs[:, 0], self.max_length or longest(inputs.shape[1]))
        return longest(lengths.to(inputs.device))

    @property
    def recurrence(self) -> nn.Module:
        """What ``primer.callbacks.Gradients`` looks at: the network that reads the source."""
        return self.encoder

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.teacher_forcing = self.sampling.at(self.trainer.current_epoch, self.run_length[1])


CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


def longest(source: Any) -> Any:
    """The most tokens that are decoded for a source of a length, or for each of several."""
    return 2 * source + 10
