"""Base class of the recurrent networks: everything but the cell."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.embedding import Characters, TokenEmbedding
from primer.models.layers.initialization import Initialization, initialize
from primer.models.layers.packing import pack, unpack
from primer.models.layers.recurrence import InstanceNormalization, Pooling, SequenceDropout, Stack, State
from primer.models.layers.validation import check_choice, check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.objectives.regression import Regression
from primer.spec import Classes, Image, NextToken, Series, Spec, Tags, Tokens, Values


class Recurrent(Model):
    """A recurrent network that predicts one output per sequence or per time step.

    Tokens are embedded, series are read directly, and images are read as sequences of rows, from the top. Sequences
    are packed, so padding is not read and the backward direction starts at the last real step.

    For next-token prediction, the state is carried from one batch to the next without its gradient: truncated
    backpropagation through time (Williams and Peng 1990). A run resumed in the middle of an epoch continues from the
    saved state; with several processes, the first batch after resuming starts from the zero state instead.

    Args:
        spec: description of the data set.
        embedding_size: size of the token embedding; unused for other inputs.
        hidden_size: size of the state of each direction.
        num_layers: number of stacked layers.
        bidirectional: whether to read the sequence in both directions (Schuster and Paliwal 1997). ``auto`` does so
            except for next-token prediction.
        pooling: how to reduce the states to one vector for outputs per sequence: the ``last`` states, or the ``mean``,
            ``max`` or ``attention`` over all states.
        characters: character encoder for words: ``none``, ``cnn`` or ``lstm``.
        character_size: size of the character-level representation.
        normalization: normalization of the last layer's states: ``none``, or ``layer`` (Ba et al. 2016).
        instance_normalization: whether to standardize each input window of a forecast by its own mean and standard
            deviation.
        initialization: weight initialization.
        dropout: dropout probability after the embedding, between layers and before the head, but never on recurrent
            connections (Zaremba et al. 2014).
        locked_dropout: whether all steps of a sequence share one dropout mask (Gal and Ghahramani 2016).
        sparse: whether the gradient of the embedding is sparse, for ``optimizer=sparse_adam``.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a size is less than 1, the dropout probability is outside [0, 1), or a name is unknown; if the
            targets are tags and the inputs images; for ``bidirectional=True`` with next-token prediction; or for
            ``instance_normalization=True`` without a forecasting task; before a run, if ``data.eval_stride`` is set.
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
        check_sizes(embedding_size=embedding_size, hidden_size=hidden_size)
        check_layers(num_layers=num_layers)
        check_rate("dropout", dropout)
        check_choice("normalization", normalization, ("none", "layer"))
        if isinstance(spec.input, Image) and isinstance(spec.target, Tags):
            raise InputError(f"{type(self).__name__} predicts one label per image, not tags for its rows")
        self.carries = isinstance(spec.target, NextToken)
        if self.carries and bidirectional is True:
            raise InputError("bidirectional=true would read the token to predict: set it to auto or false")
        self.directions = 2 if bidirectional is True or (bidirectional == "auto" and not self.carries) else 1
        self.predicts_each_step = isinstance(spec.target, Tags | NextToken)
        self.embedding, features = None, _input_features(spec)
        if isinstance(spec.input, Tokens):
            self.embedding = TokenEmbedding(spec.input, embedding_size, characters, character_size, sparse)
            features = self.embedding.features
        elif characters != "none":
            raise InputError(f"characters={characters} needs words, which this data set does not have: set it to none")
        states = self.directions * hidden_size
        self.dropout = SequenceDropout(dropout, locked_dropout)
        shape = {"hidden_size": hidden_size, "bidirectional": self.directions == 2, "batch_first": True}
        self.recurrence = Stack(
            [self.layer(input_size=states if k else features, **shape) for k in range(num_layers)], self.dropout
        )
        self.pooling = None if self.predicts_each_step else Pooling(pooling, states, self.directions)
        self.instance_normalization = None
        if instance_normalization:
            self.instance_normalization = InstanceNormalization(features, _continued_features(spec, self.objective))
        self.normalization = nn.LayerNorm(states) if normalization == "layer" else nn.Identity()
        self.head = nn.Linear(states, self.outputs)
        initialize(self, initialization)
        self._carried: dict[str | int, State] = {}  # Keyed by "train" or the evaluation pass.
        self._start_of_batch: State | None = None  # L-BFGS evaluates a batch several times.

    def setup(self, stage: str) -> None:
        super().setup(stage)
        stride = getattr(getattr(self.trainer, "datamodule", None), "eval_stride", None)
        if stride is not None:
            raise InputError(
                f"data.eval_stride={stride}: {type(self).__name__} carries its state from batch to batch, so that all "
                "of the text before a prediction is its context: set it to null"
            )

    @abstractmethod
    def layer(self, **settings: Any) -> nn.RNNBase:
        """Builds one recurrent layer from the keyword arguments that all ``nn.RNNBase`` classes share."""

    def forward(  # type: ignore[override]
        self, inputs: Tensor, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """Accepts ``(batch, time)`` tokens, ``(batch, time, features)`` series or ``(batch, channels, height, width)``
        images. Without ``lengths``, all steps are real."""
        if self.instance_normalization is None:
            return self.forward_with_state(inputs, lengths)[0]
        if inputs.shape[1] < 2:
            raise InputError(
                "instance_normalization=true needs data.window of at least 2: one step has no standard deviation"
            )
        # The windows of a series have no padding, so the mean over all steps is correct.
        steps, mean, std = self.instance_normalization(inputs)
        assert isinstance(self.objective, Regression)
        return self.objective.rescale(self.forward_with_state(steps, lengths)[0], mean, std)

    def forward_with_state(
        self, inputs: Tensor, lengths: Int[Tensor, " batch"] | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Returns the outputs and the final state, starting from ``state``, or from zero if it is None."""
        steps = self.to_steps(inputs)
        total_length = steps.shape[1]
        if lengths is not None:
            # Packing does not support empty sequences: read them as one step of padding.
            steps = pack(steps, lengths.clamp(min=1))
        states, final = self.recurrence(steps, state)
        pooled = unpack(states, total_length)[0] if self.pooling is None else self.pooling(states, final)
        return self.head(self.dropout(self.normalization(pooled))), final

    def to_steps(self, inputs: Tensor) -> Float[Tensor, "batch time features"]:
        """Converts inputs to the sequences of vectors that the recurrent layers read."""
        if self.embedding is not None:
            return self.dropout(self.embedding(inputs))
        return inputs.transpose(1, 2).flatten(2) if inputs.ndim == 4 else inputs

    def depth_groups(self) -> list[list[nn.Module]]:
        groups = super().depth_groups()
        index = groups.index([self.recurrence])
        return [*groups[:index], *([layer] for layer in self.recurrence.layers), *groups[index + 1 :]]

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not isinstance(spec.input, Tokens):
            return {}
        parameters = {"embedding.words.weight": spec.input.vocabulary}
        if spec.input.characters:
            parameters["embedding.letters.embedding.weight"] = spec.input.characters
        if isinstance(spec.target, NextToken):
            parameters |= dict.fromkeys(("head.weight", "head.bias"), spec.target.vocabulary)
        return parameters

    # The state carried from one batch to the next.

    def forward_batch(self, batch: Batch) -> Tensor:
        """Returns the outputs for a batch. For next-token prediction within a loop of the trainer, they depend on the
        preceding batches."""
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
        self._start_of_batch = None  # The carried state is kept, since a checkpoint may still be saved.

    def resume_state(self) -> dict[str, Any]:
        # With several processes, only the first writes the file, but each carries the states of its own streams.
        if "train" in self._carried and self.trainer.world_size == 1:
            return {"carried": self._carried["train"]}
        return {}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        if "carried" in state and self.trainer.world_size == 1:
            self._carried["train"] = [moved(part, self.device) for part in state["carried"]]


def detached(state: State) -> State:
    """Detaches a state from the graph."""
    return [tuple(x.detach() for x in part) if isinstance(part, tuple) else part.detach() for part in state]  # type: ignore[misc]


def moved(part: Any, device: Any) -> Any:
    """Moves the state of a layer to a device."""
    return tuple(x.to(device) for x in part) if isinstance(part, tuple | list) else part.to(device)


def _continued_features(spec: Spec, objective: Objective) -> tuple[int, ...]:
    if isinstance(objective, Regression) and isinstance(spec.target, Values) and spec.target.continues:
        return spec.target.continues
    raise InputError("instance_normalization=true needs a forecasting task such as data=series: set it to false")


def _input_features(spec: Spec) -> int:
    if isinstance(spec.input, Image):
        return spec.input.channels * spec.input.width
    return spec.input.features if isinstance(spec.input, Series) else 0
