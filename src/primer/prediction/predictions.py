"""The result of a prediction, in the user's terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from primer.data.loading.scaling import to_original
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, Classes, NextToken, Spec, Tags, Target, Values
from primer.spec import Sequence as SequenceTarget

MAX_CLASSES = 100
"""With more classes than this, rows do not have a column for the probability of each."""
SHOWN = 10
"""The number of rows that are printed."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for a number of inputs. Which attributes are set depends on what the model predicts.

    ``predictions[3]`` is one row as a dictionary, ``to_dataframe()`` returns all rows.

    Attributes:
        target: what the model predicts.
        labels: ``(inputs,)`` class names; for next-token prediction, the most probable next token.
        probabilities: ``(inputs, classes)`` in the order of ``classes``.
        values: ``(inputs, values)`` in the unit of the data, in the order of the names of the target.
        std: ``(inputs, values)`` the predicted standard deviations, if the model predicts them.
        tags: one tag for each token of each input.
        texts: the decoded sequences.
        tokens: the tokens of each input that has tags.
    """

    target: Target
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    values: np.ndarray | None = None
    std: np.ndarray | None = None
    tags: list[list[str]] | None = None
    texts: list[str] | None = None
    tokens: list[list[str]] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, or the vocabulary of next-token prediction."""
        return self.target.vocabulary if isinstance(self.target, NextToken) else getattr(self.target, "names", ())

    def __len__(self) -> int:
        return len(next(value for value in (self.labels, self.values, self.tags, self.texts) if value is not None))

    def __getitem__(self, index: int) -> dict[str, Any]:
        (row,) = self.cells(slice(index, index + 1 or None))
        return dict(zip(self.columns, row, strict=True))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.cells())

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a row."""
        return list(self.types)

    @property
    def types(self) -> dict[str, type]:
        """The columns of a row, and the type of their cells."""
        given = (name for name in ("std", "probabilities", "tokens") if getattr(self, name) is not None)
        return column_types(self.target, tuple(given))

    def to_dataframe(self) -> Any:
        """Returns a pandas ``DataFrame`` with one row for each input.

        Raises:
            InputError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("to_dataframe requires the package pandas: install primer[predict]") from None
        return pandas.DataFrame(self.cells(), columns=self.columns)

    def __repr__(self) -> str:
        """A table of the first rows, without the probabilities of other classes."""
        names = [name for name in self.columns if not name.startswith("probability_")]
        rows = [[_shown(cell) for cell in row[: len(names)]] for row in self.cells(slice(SHOWN))]
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
                 for row in (names, *rows)]  # fmt: skip
        more = [f"… {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([*lines, *more])

    def cells(self, rows: slice = slice(None)) -> list[list[Any]]:
        """Returns the cells of some rows, in the order of ``columns``."""
        columns: list[Sequence[Any]] = []
        if self.labels is not None:
            columns.append(self.labels[rows].tolist())
        if self.probabilities is not None:
            assert self.labels is not None
            index = {name: k for k, name in enumerate(self.classes)}
            probabilities = exact(self.probabilities[rows])
            columns.append([row[index[label]] for row, label in zip(probabilities, self.labels[rows], strict=True)])
            if not _is_wide(self.target):
                columns += list(zip(*probabilities, strict=True)) or [[]] * len(self.classes)
        for array in (self.values, self.std):
            if array is not None:
                columns += list(zip(*exact(array[rows]), strict=True)) or [[]] * array.shape[1]
        columns += [column[rows] for column in (self.tokens, self.tags, self.texts) if column is not None]
        return [list(row) for row in zip(*columns, strict=True)]


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Joins the predictions of consecutive inputs."""
    joined: dict[str, Any] = {"target": parts[0].target}
    for field in fields(Predictions)[1:]:
        values = [getattr(part, field.name) for part in parts]
        if values[0] is not None:
            is_array = isinstance(values[0], np.ndarray)
            joined[field.name] = np.concatenate(values) if is_array else [item for value in values for item in value]
    return Predictions(**joined)


def column_types(target: Target, given: tuple[str, ...] = ()) -> dict[str, type]:
    """Returns the columns of the rows for a target, and the type of their cells.

    Args:
        target: what is predicted.
        given: which of the attributes ``std``, ``probabilities`` and ``tokens`` are present.
    """
    if isinstance(target, Values):
        names = [""] if len(target.names) == 1 else [f"_{name}" for name in target.names]
        kinds = ("prediction", "std") if "std" in given else ("prediction",)
        return {f"{kind}{name}": float for kind in kinds for name in names}
    if isinstance(target, Tags):
        return ({"tokens": list} if "tokens" in given else {}) | {"prediction": list}
    columns: dict[str, type] = {"prediction": str}
    if isinstance(target, Classes | NextToken) and "probabilities" in given:
        columns["probability"] = float
        if not _is_wide(target):
            assert isinstance(target, Classes)
            columns |= {f"probability_{name}": float for name in target.names}
    return columns


class Outcome(NamedTuple):
    """What a model computes for a batch, on the CPU: predictions in the form of the targets, and, depending on the
    target, the probability of each class and the standard deviation of each value."""

    predictions: Tensor
    probabilities: Tensor | None = None
    std: Tensor | None = None


def decode(spec: Spec, outcome: Outcome, lengths: Tensor | None, tokens: Sequence[Sequence[str]] | None) -> Predictions:
    """Converts the outcome for a batch to predictions in the user's terms.

    Args:
        spec: what the model predicts.
        outcome: what it computed.
        lengths: ``(batch,)`` the number of steps of each input; None if inputs are not padded.
        tokens: the tokens of each input, if they are known.
    """
    target, predictions = spec.target, outcome.predictions
    probabilities = None if outcome.probabilities is None else outcome.probabilities.numpy()
    if isinstance(target, Classes | NextToken):
        names = target.names if isinstance(target, Classes) else target.vocabulary
        return Predictions(target, np.array(names, dtype=object)[predictions.numpy()], probabilities)
    if isinstance(target, Values):
        std = None if outcome.std is None else outcome.std.numpy()
        return Predictions(target, values=to_original(predictions, target.offset).numpy(), std=std)
    if isinstance(target, Tags):
        steps = [predictions.shape[1]] * len(predictions) if lengths is None else lengths.tolist()
        rows = zip(predictions.tolist(), steps, strict=True)
        tags = [[target.names[k] for k in row[:count]] for row, count in rows]
        words = None if tokens is None else [list(sequence) for sequence in tokens]
        return Predictions(target, tags=tags, tokens=words)
    if isinstance(target, SequenceTarget):
        return Predictions(target, texts=[join(row, target) for row in predictions.tolist()])
    raise InputError(f"predictions of {type(target).__name__} are not supported")


def decode_targets(spec: Spec, targets: Tensor) -> list[Any]:
    """Returns the true target of each sample in the form of a cell of ``Predictions``."""
    lengths = (targets != IGNORE).sum(1) if isinstance(spec.target, Tags) else None
    decoded = decode(spec, Outcome(targets), lengths, None)
    if decoded.values is not None:
        return exact(decoded.values)
    return list(next(value for value in (decoded.labels, decoded.tags, decoded.texts) if value is not None))


def join(indices: list[int], target: SequenceTarget) -> str:
    """Returns the text of a sequence, up to its end."""
    tokens = []
    for index in indices:
        if index in (target.end, IGNORE, PADDING):
            break
        tokens.append(target.vocabulary[index])
    return target.separator.join(tokens)


def exact(array: np.ndarray) -> list[list[float]]:
    """Converts numbers to Python's, with as few digits as distinguish them in their own precision."""
    return array.tolist() if array.dtype == np.float64 else array.astype(str).astype(np.float64).tolist()


def _is_wide(target: Target) -> bool:
    return isinstance(target, NextToken) or len(getattr(target, "names", ())) > MAX_CLASSES


def _shown(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = " ".join(cell) if isinstance(cell, list) else str(cell)
    return text if len(text) <= 60 else f"{text[:59]}…"
