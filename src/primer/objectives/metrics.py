"""Metrics over whole sequences of indices. Each ends before its first ``end``; targets are padded with ``IGNORE``."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.text import CharErrorRate

from primer.spec import IGNORE


class ExactMatch(Metric):
    """The share of sequences that are predicted without any mistake."""

    right: Tensor
    total: Tensor

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end
        self.add_state("right", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``, of any two lengths of time."""
        self.right += sum(a == b for a, b in zip(cut(predictions, self.end), cut(targets, self.end), strict=True))
        self.total += len(targets)

    def compute(self) -> Tensor:
        return self.right / self.total


class TokenAccuracy(Metric):
    """The share of target steps, ``end`` among them, at which the prediction says the same."""

    right: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``; a prediction that is too short is wrong from there on."""
        steps = min(predictions.shape[1], targets.shape[1])
        self.right += (predictions[:, :steps] == targets[:, :steps]).sum()
        self.total += (targets != IGNORE).sum()

    def compute(self) -> Tensor:
        return self.right / self.total


class EditDistanceRate(CharErrorRate):
    """Insertions, deletions and substitutions that turn predictions into targets, for each token of the targets
    (Levenshtein 1966): torchmetrics' character error rate with a character for each index."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end = end

    def update(self, predictions: Tensor, targets: Tensor) -> None:  # type: ignore[override]
        """Both ``(batch, time)``, of any two lengths of time."""
        both = ([_letters(tokens) for tokens in cut(x, self.end)] for x in (predictions, targets))
        super().update(*both)


def cut(sequences: Tensor, end: int) -> list[list[int]]:
    """Each row of ``(batch, time)`` up to its first ``end`` or ``IGNORE``, as a list."""
    rows = []
    for row in sequences.tolist():
        stops = [row.index(mark) for mark in (end, IGNORE) if mark in row]
        rows.append(row[: min(stops)] if stops else row)
    return rows


def _letters(tokens: list[int]) -> str:
    return "".join(chr(0x10000 + token) for token in tokens)
