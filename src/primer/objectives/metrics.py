"""Metrics over whole sequences of token indices.

A sequence ends before its first ``end``, or where its padding begins; targets are padded with ``IGNORE``. Anything
after the first ``end`` of a target is an alternative reference, each with its own ``end``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text import edit_distance

from primer.spec import IGNORE, PADDING


class ExactMatch(Metric):
    """The fraction of sequences that exactly match one of their references."""

    higher_is_better: bool | None = True
    matches: Tensor
    sequences: Tensor

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.add_state("matches", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("sequences", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Updates the state with predictions and targets ``(batch, time)``; their lengths may differ."""
        pairs = zip(cut(predictions, self.end, PADDING), references(targets, self.end), strict=True)
        self.matches += sum(hypothesis in alternatives for hypothesis, alternatives in pairs)
        self.sequences += len(targets)

    def compute(self) -> Tensor:
        return self.matches / self.sequences


class WordErrorRate(ExactMatch):
    """The fraction of words whose predicted pronunciation matches none of the references (Bisani and Ney 2008,
    section 5.3)."""

    higher_is_better: bool | None = False

    def compute(self) -> Tensor:
        return 1 - super().compute()


class TokenAccuracy(Metric):
    """The fraction of target steps, ``end`` included, at which the prediction equals the target.

    Args:
        end: the index that ends the first reference, if other references may follow it.
    """

    higher_is_better: bool | None = True
    correct: Tensor
    steps: Tensor

    def __init__(self, end: int | None = None) -> None:
        super().__init__()
        self.end = end
        self.add_state("correct", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("steps", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Updates the state with predictions and targets ``(batch, time)``. The steps that a prediction is too short
        for count as wrong."""
        targets = targets if self.end is None else first_references(targets, self.end)
        length = min(predictions.shape[1], targets.shape[1])
        self.correct += (predictions[:, :length] == targets[:, :length]).sum()
        self.steps += (targets != IGNORE).sum()

    def compute(self) -> Tensor:
        return self.correct / self.steps


class EditDistanceRate(Metric):
    """The edit distance between each prediction and its nearest reference (Levenshtein 1966), divided by the number of
    tokens in those references. For phonemes, this is the phoneme error rate."""

    higher_is_better: bool | None = False
    edits: Tensor
    tokens: Tensor

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.add_state("edits", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Updates the state with predictions and targets ``(batch, time)``; their lengths may differ."""
        hypotheses, grouped = cut(predictions, self.end, PADDING), references(targets, self.end)
        counts = [len(group) for group in grouped]
        repeated = [_as_text(row) for row, count in zip(hypotheses, counts, strict=True) for _ in range(count)]
        flat = [_as_text(reference) for group in grouped for reference in group]
        distances = iter(edit_distance(repeated, flat, reduction="none").long().tolist())
        # The first of equally near references counts.
        nearest = [min((next(distances), index, len(row)) for index, row in enumerate(group)) for group in grouped]
        self.edits += sum(edits for edits, _, _ in nearest)
        self.tokens += sum(length for _, _, length in nearest)

    def compute(self) -> Tensor:
        return self.edits / self.tokens


def first_references(targets: Tensor, end: int) -> Tensor:
    """Masks everything after the first ``end`` of each row of targets ``(batch, time)`` with ``IGNORE``."""
    ends = targets == end
    return targets.masked_fill(ends.cumsum(1) > ends.long(), IGNORE)


def references(targets: Tensor, end: int) -> list[list[list[int]]]:
    """Returns all references of each row of ``(batch, time)``, without their ``end``."""
    grouped = []
    for row in cut(targets, IGNORE):
        stops = [index for index, token in enumerate(row) if token == end]
        if not stops or stops[-1] < len(row) - 1:
            stops.append(len(row))
        starts = [0, *(stop + 1 for stop in stops[:-1])]
        grouped.append([row[start:stop] for start, stop in zip(starts, stops, strict=True)])
    return grouped


def cut(sequences: Tensor, *marks: int) -> list[list[int]]:
    """Returns each row of ``(batch, time)`` as a list, truncated before its first occurrence of any of ``marks``."""
    rows = []
    for row in sequences.tolist():
        stops = [row.index(mark) for mark in marks if mark in row]
        rows.append(row[: min(stops)] if stops else row)
    return rows


def _as_text(tokens: list[int]) -> str:
    """Maps each token to a character of its own."""
    return "".join(chr(0x10000 + token) for token in tokens)
