"""What the recurrent networks share: all but the cell."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.blocks import check_rate, check_sizes
from primer.models.layers.embedding import Characters, TokenEmbedding
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.recurrence import InstanceNormalization, Pooling, SequenceDropout, Stack, State, unpacked
from primer.objectives import Objective
from primer.objectives.regression import Regression
from primer.spec import Classes, Image, NextToken, Series, Spec, Tags, Tokens, Values


class Recurrent(Model):
    """Reads a sequence step by step, then says one thing of the whole of it, or one of each step.

    Tokens are embedded first, series are read as they are, and an image is a sequence of its rows, from the top.
    Padding is not read: sequences are packed, so that the backward direction starts at the last real step.

    Where the next token is to be said, the state is carried from one batch to the next, without its gradient:
    truncated back-propagation through time (Williams and Peng 1990). A run that is resumed in the middle of an epoch
    goes on with the state that it had; on several processes the first batch then starts without one.

    Args:
        spec: what the data set offers.
        embedding_size: the length of the vector of a token; without meaning for other inputs.
        hidden_size: the length of the state, for each direction.
        num_layers: how many layers, each reading the states of the one before.
        bidirectional: whether the sequence is read from both ends (Schuster and Paliwal 1997); ``auto`` does so unless
            the next token is to be said.
        pooling: what a label of the whole follows from: the ``last`` states, or the ``mean``, ``max`` or ``attention``
            over all of them.
        characters: what reads the letters of words: ``none``, ``cnn`` or ``lstm``.
        character_size: the length of the vector that is made of letters.
        normalization: of the last layer's states: none, or layer normalization (Ba et al. 2016).
        instance_normalization: whether a forecast is made from a window less its own mean and over its own deviation.
        initialization: of the weights.
        dropout: the share of values that is dropped in training after the embedding, between layers and before the
            head, never on the way from one step to the next (Zaremba et al. 2014).
        locked_dropout: whether all steps of a sequence drop the same values (Gal and Ghahramani 2016).
        sparse: whether the embedding's gradient holds only the tokens of a batch, for optimizer=sparse_adam.
        objective: the loss and the metrics.

    Raises:
        ValueError: for a size under 1, a rate outside [0, 1), an unknown name, tags for the rows of an image, or a
            next token that is read before it is said, or what is no forecast, normalized by its window.
    """

    inputs = Tokens | Series | Image
    targets = Classes | Tags | Values | NextToken

    def __init__(
        self,
        spec: Spec,
        embedding_size: int = 128,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool | Literal["auto"] = "auto",
        pooling: Literal["last", "mean", "max", "attention"] = "last",
        characters: Characters = "none",
        character_size: int = 50,
        normalization: Literal["none", "layer"] = "none",
        instance_normalization: bool = False,
        initialization: Initialization = "default",
        dropout: float = 0.0,
        locked_dropout: bool = False,
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
        self.carries = isinstance(spec.target, NextToken)
        if self.carries and bidirectional is True:
            raise InputError("bidirectional=true would read the next token before it is said: set it to auto or false")
        self.directions = 2 if bidirectional is True or (bidirectional == "auto" and not self.carries) else 1
        self.each_step = isinstance(spec.target, Tags | NextToken)
        self.embedding, features = None, _features(spec)
        if isinstance(spec.input, Tokens):
            self.embedding = TokenEmbedding(spec.input, embedding_size, characters, character_size, sparse)
            features = self.embedding.features
        elif characters != "none":
            raise InputError(f"characters={characters} reads the letters of words, and this data set has no words")
        states = self.directions * hidden_size
        self.dropout = SequenceDropout(dropout, locked_dropout)
        shape = {"hidden_size": hidden_size, "bidirectional": self.directions == 2, "batch_first": True}
        self.recurrence = Stack(
            [self.layer(input_size=states if k else features, **shape) for k in range(num_layers)], self.dropout
        )
        self.pooling = None if self.each_step else Pooling(pooling, states, self.directions)
        self.instance_normalization = None
        if instance_normalization:
            self.instance_normalization = InstanceNormalization(features, _continues(spec, self.objective))
        self.normalization = nn.LayerNorm(states) if normalization == "layer" else nn.Identity()
        self.head = nn.Linear(states, self.outputs)
        initialize(self, initialization)
        self._carried: dict[str | int, State] = {}  # By the evaluation pass, or ``train``.
        self._start_of_batch: State | None = None  # Kept: L-BFGS takes the loss of a batch several times.

    @abstractmethod
    def layer(self, **settings: Any) -> nn.RNNBase:
        """One recurrent layer, from the settings that all kinds of them share."""

    def forward(  # type: ignore[override]
        self, inputs: Tensor, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """``(batch, time)`` tokens, a ``(batch, time, features)`` series or ``(batch, channels, height, width)`` images
        in. Without ``lengths`` every step is real."""
        if self.instance_normalization is None:
            return self.forward_with_state(inputs, lengths)[0]
        if inputs.shape[1] < 2:
            raise InputError("instance_normalization=true takes data.window of at least 2: one step has no deviation")
        # No lengths: the windows of a series are whole, and so their mean is that of all steps.
        steps, mean, std = self.instance_normalization(inputs)
        assert isinstance(self.objective, Regression)
        return self.objective.rescale(self.forward_with_state(steps, lengths)[0], mean, std)

    def forward_with_state(
        self, inputs: Tensor, lengths: Int[Tensor, " batch"] | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """The outputs, from a state that was reached before or from zero, and the state after the last step."""
        steps = self.steps(inputs)
        total = steps.shape[1]
        if lengths is not None:
            # A sequence without any step is read as one step of padding: packing knows no empty ones.
            lengths = lengths.cpu().clamp(min=1)
            steps = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        states, final = self.recurrence(steps, state)
        pooled = unpacked(states, total)[0] if self.pooling is None else self.pooling(states, final)
        return self.head(self.dropout(self.normalization(pooled))), final

    def steps(self, inputs: Tensor) -> Float[Tensor, "batch time features"]:
        """What is read at each step."""
        if self.embedding is not None:
            return self.dropout(self.embedding(inputs))
        return inputs.transpose(1, 2).flatten(2) if inputs.ndim == 4 else inputs

    def depth_groups(self) -> list[list[nn.Module]]:
        groups = super().depth_groups()
        place = groups.index([self.recurrence])
        return [*groups[:place], *([layer] for layer in self.recurrence.layers), *groups[place + 1 :]]

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not isinstance(spec.input, Tokens):
            return {}
        read = {"embedding.words.weight": spec.input.vocabulary}
        spelled = {"embedding.letters.embedding.weight": spec.input.characters} if spec.input.characters else {}
        said = spec.target.vocabulary if isinstance(spec.target, NextToken) else ()
        return read | spelled | ({"head.weight": said, "head.bias": said} if said else {})

    # The state that is carried from one batch to the next.

    def forward_batch(self, batch: Batch) -> Tensor:
        """The outputs for a batch. For next-token prediction, within a pass of the trainer, they depend on the batches
        before it."""
        passing = "train" if self.training else self.evaluation.passes if self.evaluation.stage else None
        if not self.carries or batch.lengths is not None or passing is None:
            return super().forward_batch(batch)
        start = self._start_of_batch if self.training else self._carried.get(passing)
        outputs, state = self.forward_with_state(batch.inputs, state=start)
        kept = {key: value for key, value in self._carried.items() if key == "train"}
        self._carried = kept | {passing: detached(state)}
        return outputs

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        if not batch_idx:
            self._carried.pop("train", None)
        self._start_of_batch = self._carried.get("train")

    def on_train_end(self) -> None:
        super().on_train_end()
        self._start_of_batch = None  # What is carried stays: a checkpoint may still be written.

    def resume_state(self) -> dict[str, Any]:
        # The first of several processes writes the file, and the streams of the others have states of their own.
        if "train" in self._carried and self.trainer.world_size == 1:
            return {"carried": self._carried["train"]}
        return {}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        if "carried" in state and self.trainer.world_size == 1:
            self._carried["train"] = [moved(part, self.device) for part in state["carried"]]


def detached(state: State) -> State:
    """The same state, from which no gradient flows back."""
    return [tuple(x.detach() for x in part) if isinstance(part, tuple) else part.detach() for part in state]  # type: ignore[misc]


def moved(part: Any, device: Any) -> Any:
    """The state of a layer on another device."""
    return tuple(x.to(device) for x in part) if isinstance(part, tuple | list) else part.to(device)


def _continues(spec: Spec, objective: Objective) -> tuple[int, ...]:
    if isinstance(objective, Regression) and isinstance(spec.target, Values) and spec.target.continues:
        return spec.target.continues
    raise InputError("instance_normalization=true is for forecasts, such as those of data=series: set it to false")


def _features(spec: Spec) -> int:
    if isinstance(spec.input, Image):
        return spec.input.channels * spec.input.width
    return spec.input.features if isinstance(spec.input, Series) else 0
