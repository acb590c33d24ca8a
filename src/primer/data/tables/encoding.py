"""Computes features from the columns of a table, as described by a spec."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from primer.spec import Column

UNSEEN_CATEGORY = -1
"""The code of a category that does not occur in the training part."""


def encode_columns(columns: Sequence[Column], values: Sequence[Tensor]) -> Tensor:
    """Returns the features, ``(rows, features)``, in double precision.

    Args:
        columns: the columns.
        values: for each column, ``(rows,)`` numbers, NaN if missing, or indices into its categories.
    """
    parts = []
    for column, rows in zip(columns, values, strict=True):
        if column.categories:
            parts.append(rows[:, None] == torch.arange(len(column.categories)))
        else:
            parts.append(torch.where(rows.isnan(), column.fill, rows)[:, None])
    return torch.cat([part.double() for part in parts], dim=1)


def feature_names(column: Column) -> list[str]:
    """Returns the names of the features of a column."""
    return [f"{column.name}={category or '(missing)'}" for category in column.categories] or [column.name]
