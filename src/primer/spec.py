"""What a data set offers to a model: the types of its inputs and of its targets.

A ``Spec`` is all that a model is built from, so nobody types the number of classes, of features or of words.
It turns into a plain dictionary and back, and travels in every checkpoint. This module does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

PADDING, UNKNOWN = 0, 1
"""The first two entries of every vocabulary: what fills a batch up, and what stands for a word never seen."""

IGNORE = -100
"""The target of a position that does not count: padding."""

UNSEEN = "<unseen>"
"""The name of a tag that stands for all those which the training part does not have."""


@dataclass(frozen=True)
class Image:
    """Images of shape ``(channels, height, width)``. ``mean`` and ``std`` (one a channel, of values in [0, 1])
    standardise them; both are empty where nothing is to be standardised."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The number of values in one image."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class Vector:
    """Rows of ``features`` numbers. ``names``, ``mean`` and ``std`` are one a feature, or empty."""

    features: int
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """The number of values in one row."""
        return self.features


@dataclass(frozen=True)
class Series:
    """Sequences of steps, each of ``features`` numbers: shape ``(time, features)``. ``mean`` and ``std`` are one a
    feature, or empty."""

    features: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tokens:
    """Sequences of indices into ``vocabulary``, whose first two entries are padding and unknown: shape ``(time,)``.

    With ``characters`` each word comes with its spelling, ``(time, 1 + letters)``: its index, then those of its
    letters, whose first two entries are padding and unknown too."""

    vocabulary: tuple[str, ...]
    characters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classes:
    """One of ``names`` for each sample: targets of shape ``(batch,)``, integers."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Values:
    """One number for each of ``names``: targets of shape ``(batch, values)``. ``mean`` and ``std`` are those of
    the training part; a model learns the standardised values and its metrics are in the original unit.

    Values that are still to come have the mean absolute errors that forecasts without a model make on the training
    part: ``naive``, the last value, and ``seasonal``, the value one season before; and ``continues`` says which feature
    of the input each of them goes on from."""

    names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    naive: tuple[float, ...] = ()
    seasonal: tuple[float, ...] = ()
    continues: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tags:
    """One of ``names`` for each step of a sequence: targets of shape ``(batch, time)``, padded with ``IGNORE``."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Sequence:
    """A sequence of its own length over ``vocabulary``: targets of shape ``(batch, time)``, padded with ``IGNORE``.
    Each ends with the index ``end``; ``start`` is what a decoder is fed first. What follows the first ``end`` are
    other sequences that are right too, each with an ``end``: they are not learnt. ``unit`` says what a token is, where
    a field has metrics of its own for it: ``phoneme``."""

    vocabulary: tuple[str, ...]
    start: int = 2
    end: int = 3
    unit: str = "token"


@dataclass(frozen=True)
class NextToken:
    """The input shifted by one step, over the same ``vocabulary``: targets of shape ``(batch, time)``. ``unit`` is
    what tokens are made of, such as ``character`` or ``note``."""

    vocabulary: tuple[str, ...]
    unit: str = "character"


@dataclass(frozen=True)
class NoTarget:
    """No target: the input alone."""


@dataclass(frozen=True)
class Environment:
    """What an agent sees and does: observations of shape ``observation`` and one of ``actions`` discrete actions."""

    observation: tuple[int, ...]
    actions: int


Input = Image | Vector | Series | Tokens | Environment
Target = Classes | Values | Tags | Sequence | NextToken | NoTarget
INPUTS = (Image, Vector, Series, Tokens, Environment)
TARGETS = (Classes, Values, Tags, Sequence, NextToken, NoTarget)
TYPES: dict[str, type] = {kind.__name__: kind for kind in (*INPUTS, *TARGETS)}


@dataclass(frozen=True)
class Spec:
    """The input and the target type of a data set."""

    input: Input
    target: Target

    def to_dict(self) -> dict[str, Any]:
        """The spec as dictionaries, lists, strings and numbers alone."""
        return {
            side: {"type": type(value).__name__}
            | {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(value).items()}
            for side, value in (("input", self.input), ("target", self.target))
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Spec:
        """The inverse of ``to_dict``. Raises ``ValueError`` for a type that is not one of this module's."""
        sides = {}
        for side in ("input", "target"):
            fields = dict(plain[side])
            name = fields.pop("type")
            if name not in TYPES:
                raise ValueError(f"unknown {side} type {name!r} in a spec; one of {', '.join(TYPES)} was expected")
            sides[side] = TYPES[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
        return cls(**sides)


def convolved_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    r"""The length that a convolution or a pooling leaves: :math:`\lfloor (n + 2p - k) / s \rfloor + 1`.

    >>> convolved_size(39, kernel_size=5, stride=2)
    18
    """
    return math.floor((size + 2 * padding - kernel_size) / stride) + 1
