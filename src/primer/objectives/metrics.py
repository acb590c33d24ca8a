"""Metrics over whole sequences of indices. Each ends before its first ``end``, or where its padding begins; targets are
padded with ``IGNORE``.

What follows the first ``end`` of a target are other right answers, each with its ``end``."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text import edit_distance

from primer.spec import IGNORE, PADDING


class ExactMatch(Metric):
    """The share of sequences that are one of their right answers, without any mistake."""

    matches: Tensor
    sequences: Tensor

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.add_state("matches", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("sequences", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``, of any two lengths of time."""
        pairs = zip(cut(predictions, self.end, PADDING), answers(targets, self.end), strict=True)
        self.matches += sum(said in right for said, right in pairs)
        self.sequences += len(targets)

    def compute(self) -> Tensor:
        return self.matches / self.sequences


class WordErrorRate(ExactMatch):
    """The share of words of which no listed pronunciation is predicted (Bisani and Ney 2008, section 5.3)."""

    def compute(self) -> Tensor:
        return 1 - super().compute()


class TokenAccuracy(Metric):
    """The share of target steps, ``end`` among them, at which the prediction says the same.

    Args:
        end: what ends the first answer, where others may follow.
    """

    right: Tensor
    steps: Tensor

    def __init__(self, end: int | None = None) -> None:
        super().__init__()
        self.end = end
        self.add_state("right", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("steps", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``; a prediction that is too short is wrong from there on."""
        targets = targets if self.end is None else first_answers(targets, self.end)
        both = min(predictions.shape[1], targets.shape[1])
        self.right += (predictions[:, :both] == targets[:, :both]).sum()
        self.steps += (targets != IGNORE).sum()

    def compute(self) -> Tensor:
        return self.right / self.steps


class EditDistanceRate(Metric):
    """Insertions, deletions and substitutions that turn predictions into the nearest of their right answers
    (Levenshtein 1966), for each token of these answers; of phonemes the phoneme error rate."""

    edits: Tensor
    tokens: Tensor

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.add_state("edits", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``, of any two lengths of time."""
        said, right = cut(predictions, self.end, PADDING), answers(targets, self.end)
        counts = [len(some) for some in right]
        repeated = [_letters(one) for one, count in zip(said, counts, strict=True) for _ in range(count)]
        distances = edit_distance(repeated, [_letters(one) for some in right for one in some], reduction="none")
        pairs = iter(distances.long().tolist())
        nearest = [min((next(pairs), place, len(one)) for place, one in enumerate(some)) for some in right]
        self.edits += sum(edits for edits, _, _ in nearest)
        self.tokens += sum(length for _, _, length in nearest)

    def compute(self) -> Tensor:
        return self.edits / self.tokens


def first_answers(targets: Tensor, end: int) -> Tensor:
    """Targets ``(batch, time)`` without what follows the first ``end`` of each."""
    ends = targets == end
    return targets.masked_fill(ends.cumsum(1) > ends.long(), IGNORE)


def answers(targets: Tensor, end: int) -> list[list[list[int]]]:
    """All right answers of each row of ``(batch, time)``, without their ``end``."""
    found = []
    for row in cut(targets, IGNORE):
        stops = [place for place, token in enumerate(row) if token == end]
        if not stops or stops[-1] < len(row) - 1:
            stops.append(len(row))
        starts = [0, *(stop + 1 for stop in stops[:-1])]
        found.append([row[start:stop] for start, stop in zip(starts, stops, strict=True)])
    return found


def cut(sequences: Tensor, *marks: int) -> list[list[int]]:
    """Each row of ``(batch, time)`` up to its first ``marks``, any of them, as a list."""
    rows = []
    for row in sequences.tolist():
        stops = [row.index(mark) for mark in marks if mark in row]
        rows.append(row[: min(stops)] if stops else row)
    return rows


def _letters(tokens: list[int]) -> str:
    return "".join(chr(0x10000 + token) for token in tokens)
