"""Specs: the types and sizes of the inputs and targets of a data set.

A model is built from a ``Spec`` alone, so the number of classes, features or words never appears in a config. A spec
converts to a plain dictionary and back, and every checkpoint contains one. This module does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

PADDING, UNKNOWN = 0, 1
"""The indices of the first two entries of every vocabulary: padding and the unknown token."""

IGNORE = -100
"""The target of padding positions, which losses and metrics ignore."""

UNSEEN = "<unseen>"
"""Replaces every tag, user or item that does not occur in the training part."""


@dataclass(frozen=True)
class Waveform:
    """Recordings of sound, ``(samples,)`` at ``sample_rate`` Hz, and the features that are computed from them for
    windows of ``window`` samples every ``hop`` samples: the logarithms of the energies in ``mels`` bands (``log_mel``),
    or ``coefficients`` of their cosine transform (``mfcc``).

    ``mean`` and ``std`` standardize each feature. If ``top_db`` is not 0, energies are relative to the loudest one of
    the recording, and at most that many decibels below it. With ``centered``, the mean of each feature over the
    recording is subtracted. Only the first ``longest`` samples of a recording are read."""

    sample_rate: int
    window: int
    hop: int
    mels: int
    longest: int
    features: str = "log_mel"
    coefficients: int = 13
    centered: bool = False
    top_db: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The number of features of a window."""
        return self.coefficients if self.features == "mfcc" else self.mels


@dataclass(frozen=True)
class Image:
    """Images of shape ``(channels, height, width)``. ``mean`` and ``std`` standardize each channel, for pixel values in
    [0, 1]; empty means that images are not standardized.

    ``maximum`` is the value of full intensity in the user's files: 255 for bytes. ``native`` is the shape of the images
    of the data set, if they are converted to the shape that pretrained weights expect. ``recording`` is set if images
    are the spectrograms of recordings: a row per feature, the highest first, and a column per window."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    maximum: float = 255.0
    native: tuple[int, ...] = ()
    recording: Waveform | None = None

    @property
    def size(self) -> int:
        """The number of values per image."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Video:
    """Videos of shape ``(frames, channels, height, width)``. ``mean``, ``std`` and ``maximum`` are those of
    ``Image``."""

    frames: int
    channels: int
    height: int
    width: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    maximum: float = 255.0

    @property
    def size(self) -> int:
        """The number of values per video."""
        return self.frames * self.channels * self.height * self.width


@dataclass(frozen=True)
class Column:
    """A column of a table: a feature if it holds numbers, otherwise one feature per category.

    ``fill`` replaces missing numbers, and a missing category is the category ``""``, unless the column is ``required``.
    A category that did not occur in training is encoded as zeros if ``unseen`` is ``ignore``, and is an error if it is
    ``error``."""

    name: str
    categories: tuple[str, ...] = ()
    fill: float = 0.0
    required: bool = True
    unseen: str = "ignore"


@dataclass(frozen=True)
class Vector:
    """Vectors of shape ``(features,)``. ``names``, ``mean`` and ``std`` have one entry per feature, or are empty.

    ``columns`` are those of the table that the features are computed from; empty if each feature is a column. Batches
    hold values minus ``offset``, if it is not empty, since single precision cannot represent small differences between
    large values."""

    features: int
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    offset: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The number of values per vector."""
        return self.features


@dataclass(frozen=True)
class Series:
    """Sequences of shape ``(time, features)``. ``names``, ``mean``, ``std`` and ``offset`` have one entry per feature,
    or are empty; batches hold values minus ``offset``. If ``window`` is not 0, samples are windows of that many steps
    over a longer series. If ``padded``, samples are whole series of different lengths, and batches hold the lengths.
    ``recording`` is set if a step is a window of a recording."""

    features: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    window: int = 0
    offset: tuple[float, ...] = ()
    padded: bool = False
    recording: Waveform | None = None


@dataclass(frozen=True)
class Tokens:
    """Sequences of indices into ``vocabulary``, of shape ``(time,)``. Its first two entries are the padding and the
    unknown token.

    With ``characters``, inputs also contain the spelling of each word and have shape ``(time, 1 + letters)``: the index
    of the word, then the indices of its letters into ``characters``, which starts with padding and unknown too. Of a
    word with more than ``word_length`` letters, the first and the last half of them are kept.

    ``tokenizer`` is how a text becomes tokens: ``words`` (and punctuation), ``whitespace`` (split at it),
    ``characters``, or ``none`` if only a list of tokens is an input. ``lowercase`` means that the vocabulary is in
    lower case. Sequences are truncated to ``max_length`` tokens."""

    vocabulary: tuple[str, ...]
    characters: tuple[str, ...] = ()
    tokenizer: str = "whitespace"
    lowercase: bool = False
    max_length: int | None = None
    word_length: int = 20


@dataclass(frozen=True)
class Interactions:
    """Pairs of a user and an item, of shape ``(2,)``: an index into ``users`` and one into ``items``, whose first entry
    stands for all those that do not occur in the training part. ``names`` are the columns of users and of items."""

    users: tuple[str, ...]
    items: tuple[str, ...]
    names: tuple[str, ...] = ("user", "item")


@dataclass(frozen=True)
class Classes:
    """One class per sample: integer targets of shape ``(batch,)``, indices into ``names``.

    ``positive`` is the index of the class that precision, recall and F1 are of, if there are two. ``counts`` are the
    numbers of training samples of each class, or empty."""

    names: tuple[str, ...]
    positive: int = field(default=1, compare=False)
    counts: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Values:
    """Real values: targets of shape ``(batch, values)``, one column per entry of ``names``. ``mean`` and ``std`` are
    computed on the training part. Models learn standardized values; metrics are in the original unit. Batches and
    predictions hold values minus ``offset``, if it is not empty, which is added in double precision where a value is
    shown.

    ``naive``, ``seasonal`` and ``continues`` are set for forecasts. The first two are the mean absolute errors of the
    naive forecasts on the training part: the last value and the value one season earlier. ``continues`` is the index of
    the input feature that each value continues."""

    names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    naive: tuple[float, ...] = ()
    seasonal: tuple[float, ...] = ()
    continues: tuple[int, ...] = ()
    offset: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tags:
    """One tag per time step: targets of shape ``(batch, time)``, indices into ``names``, padded with ``IGNORE``."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Sequence:
    """Output sequences over ``vocabulary``, whose length is independent of the input: targets of shape ``(batch,
    time)``, padded with ``IGNORE``.

    Each sequence ends with the index ``end``; a decoder starts from ``start``. Alternative references may follow the
    first ``end``, each with an ``end`` of its own; they count in evaluation but are not trained on. ``unit`` names what
    a token is, for fields with their own metrics: ``phoneme``. ``separator`` joins the tokens to a text."""

    vocabulary: tuple[str, ...]
    start: int = 2
    end: int = 3
    unit: str = "token"
    separator: str = ""


@dataclass(frozen=True)
class NextToken:
    """Next-token prediction: the input shifted by one step, over the same ``vocabulary``. Targets have shape ``(batch,
    time)``, padded with ``IGNORE``. ``unit`` names what a token is, such as ``character``, ``note`` or ``item``."""

    vocabulary: tuple[str, ...]
    unit: str = "character"


@dataclass(frozen=True)
class MaskedToken:
    """Masked-token prediction: the tokens that are hidden in the input, over the same ``vocabulary``, whose last entry
    is the mask. Targets have shape ``(batch, time)``, with ``IGNORE`` where nothing is hidden. ``fraction`` is that of
    hidden tokens."""

    vocabulary: tuple[str, ...]
    fraction: float = 0.15

    def chosen(self, counts: Any) -> Any:
        """Returns how many tokens of sequences with ``counts`` tokens are hidden, at least one. Both are tensors."""
        return (self.fraction * counts).round().clamp(min=1).long()


@dataclass(frozen=True)
class Context:
    """The words around each word of a running text. Inputs are runs of words without rare ones, of shape ``(time,)``;
    targets of the same shape are the number of the sentence of each word, since a context does not cross sentences.

    ``occurrences`` are the numbers of occurrences of each entry of the input vocabulary in the training part."""

    occurrences: tuple[int, ...]


@dataclass(frozen=True)
class Cooccurrence:
    """How often two words occur near each other: inputs of shape ``(batch, 2)`` are pairs of words, targets of shape
    ``(batch,)`` their counts, in which a pair of words at distance ``d`` counts as ``1 / d``."""


@dataclass(frozen=True)
class NoTarget:
    """No target: unlabeled data."""


@dataclass(frozen=True)
class Environment:
    """What an agent sees and does: observations of shape ``observation`` and one of ``actions`` discrete actions."""

    observation: tuple[int, ...]
    actions: int


@dataclass(frozen=True)
class FiniteEnvironment:
    """An environment with a finite number of states: what an agent sees is the index of the state, and what it does is
    one of ``actions`` discrete actions.

    ``moves`` are short names of the actions, or empty. ``grid`` is the number of rows and columns if each state is a
    cell of a grid, or empty; with ``n`` states per cell, state ``s`` is in cell ``s // n``, counted row by row."""

    states: int
    actions: int
    moves: tuple[str, ...] = ()
    grid: tuple[int, ...] = ()


@dataclass(frozen=True)
class Arms:
    """A multi-armed bandit: an agent sees nothing, and pulls one of ``arms``, whose rewards are ``gaussian`` or
    ``bernoulli``."""

    arms: int
    rewards: str = "gaussian"


Input = Image | Video | Vector | Series | Tokens | Interactions | Environment | FiniteEnvironment | Arms
Target = Classes | Values | Tags | Sequence | NextToken | MaskedToken | Context | Cooccurrence | NoTarget
INPUTS = (Image, Video, Vector, Series, Tokens, Interactions, Environment, FiniteEnvironment, Arms)
TARGETS = (Classes, Values, Tags, Sequence, NextToken, MaskedToken, Context, Cooccurrence, NoTarget)
TYPES: dict[str, type] = {kind.__name__: kind for kind in (*INPUTS, *TARGETS)}


@dataclass(frozen=True)
class Spec:
    """The input type and the target type of a data set."""

    input: Input
    target: Target

    def to_dict(self) -> dict[str, Any]:
        """Converts the spec to dictionaries, lists, strings and numbers."""
        return {
            side: {"type": type(value).__name__} | _plain(value)
            for side, value in (("input", self.input), ("target", self.target))
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Spec:
        """Inverts ``to_dict``. Raises ``ValueError`` for a type that this module does not define."""
        sides = {}
        for side in ("input", "target"):
            values = dict(plain[side])
            name = values.pop("type")
            if name not in TYPES:
                raise ValueError(f"unknown {side} type {name!r} in a spec; valid: {', '.join(TYPES)}")
            if "columns" in values:
                columns = [column | {"categories": tuple(column["categories"])} for column in values["columns"]]
                values["columns"] = tuple(Column(**column) for column in columns)
            if values.get("recording"):
                values["recording"] = Waveform(**_tuples(values["recording"]))
            sides[side] = TYPES[name](**_tuples(values))
        return cls(**sides)


def recording_of(kind: Input) -> Waveform | None:
    """Returns what the recordings are like that inputs are computed from; None for other inputs."""
    return kind.recording if isinstance(kind, Image | Series) else None


def stored_mean(kind: Vector | Series | Values) -> tuple[float, ...]:
    """Returns the mean of the values that batches hold, from which ``offset`` is subtracted."""
    return tuple(m - o for m, o in zip(kind.mean, kind.offset, strict=True)) if kind.offset else kind.mean


def _plain(value: Any) -> Any:
    # ``dataclasses.asdict`` would copy the words of a vocabulary one by one, which takes longer than saving them.
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value] if any(map(is_dataclass, value[:1])) else list(value)
    return value


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def convolved_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    r"""Returns the output size of a convolution or pooling layer: :math:`\lfloor (n + 2p - k) / s \rfloor + 1`.

    >>> convolved_size(39, kernel_size=5, stride=2)
    18
    """
    return math.floor((size + 2 * padding - kernel_size) / stride) + 1
