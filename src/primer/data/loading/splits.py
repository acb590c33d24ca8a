"""Splits samples into training, validation and test parts, and into cross-validation folds."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from primer.batch import Batch
from primer.errors import InputError

Records = Batch | list[Any]
Part = Literal["train", "val", "test"]


class Splits(ABC):
    """Mixin of ``primer.data.base.DataModule`` that splits the samples; its settings are documented there.

    Data sets whose samples cannot be held out individually override its methods: a text is cut at a character
    (``hold_out`` and ``split_fold``), a time series at a time step (``split``).
    """

    val_fraction: float
    test_fraction: float
    split_seed: int
    folds: int | None
    fold: int
    train_size: int | None

    @abstractmethod
    def labels(self, records: Any) -> np.ndarray | None:
        """Returns one label per sample for stratified splits, or None if there are no labels."""

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        """Returns all three parts, given those that were read; missing parts are held out from ``train``."""
        pool, val, test = parts["train"], parts.get("val"), parts.get("test")
        if self.folds is not None:
            if val is not None:
                pool, val = _join(pool, val), None
            rest, held_out = self.split_fold(pool)
            if test is None:
                pool, test = rest, held_out
            else:
                pool, val = rest, held_out
        size = _size(parts["train"])
        if test is None:
            pool, test = self.hold_out(pool, round(self.test_fraction * size))
        if val is None:
            pool, val = self.hold_out(pool, round(self.val_fraction * size))
        if self.train_size is not None:
            if self.train_size > _size(pool):
                raise InputError(f"train_size={self.train_size}, but the training part has {_size(pool)} samples")
            pool, _ = self.hold_out(pool, _size(pool) - self.train_size)
        if not _size(test) and not self.test_fraction:
            raise InputError(
                f"test_fraction={self.test_fraction} leaves no samples for testing, and no test part is published"
            )
        if _size(pool) < 2 or not _size(test):
            raise InputError(
                f"{size} samples are too few: {_size(pool)} would be left for training and {_size(test)} for testing"
            )
        return {"train": pool, "val": val, "test": test}

    def hold_out(self, records: Records, count: int) -> tuple[Records, Records]:
        """Splits off ``count`` samples, stratified by class if possible, and returns the rest and the held-out samples.
        The only sample of a class is not held out if there are enough others: a class that is not learned cannot be
        tested."""
        size = _size(records)
        if count <= 0 or count >= size:
            every, none = np.arange(size), np.arange(0)
            return (
                (_take(records, every), _take(records, none))
                if count <= 0
                else (_take(records, none), _take(records, every))
            )
        rows, labels = np.arange(size), self.labels(records)
        if labels is not None:
            _, kind, sizes = np.unique(labels, return_inverse=True, return_counts=True)
            several = rows[sizes[kind] > 1]
            if count < len(several):
                rows, labels, sizes = several, labels[several], sizes[sizes > 1]
            if sizes.min() < 2 or len(sizes) > min(count, len(rows) - count):
                rows, labels = self._without_one_of_each(rows, labels, count), None
        _, leave = train_test_split(rows, test_size=count, random_state=self.split_seed, stratify=labels)
        return _take(records, np.setdiff1d(np.arange(size), leave)), _take(records, np.sort(leave))

    def _without_one_of_each(self, rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
        """Returns the rows without a random one of each class, so that each is learned; all rows if that leaves too few
        to hold out."""
        order = np.random.default_rng(self.split_seed).permutation(len(rows))
        learned = rows[order[np.unique(labels[order], return_index=True)[1]]]
        others = np.setdiff1d(rows, learned)
        return others if count < len(others) else rows

    def split_fold(self, records: Records) -> tuple[Records, Records]:
        """Returns the samples outside of this fold, and those in it."""
        assert self.folds is not None
        size, labels = _size(records), self.labels(records)
        if self.folds > size:
            raise InputError(f"folds={self.folds}, but there are only {size} samples")
        stratified = labels is not None and np.unique(labels, return_counts=True)[1].max() >= self.folds
        kind = StratifiedKFold if stratified else KFold
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Of classes with fewer samples than there are folds.
            splits = list(kind(self.folds, shuffle=True, random_state=self.split_seed).split(np.zeros(size), labels))
        rest, held_out = splits[self.fold]
        return _take(records, rest), _take(records, held_out)


def _size(records: Records) -> int:
    return records.size if isinstance(records, Batch) else len(records)


def _take(records: Records, index: np.ndarray) -> Records:
    if isinstance(records, Batch):
        return records.select(torch.from_numpy(index))
    return [records[i] for i in index]


def _join(first: Records, second: Records) -> Records:
    if isinstance(first, Batch) and isinstance(second, Batch):
        both = zip(first, second, strict=True)
        return Batch(*(None if a is None or b is None else torch.cat([a, b]) for a, b in both))  # type: ignore[arg-type]
    assert isinstance(first, list)
    assert isinstance(second, list)
    return [*first, *second]
