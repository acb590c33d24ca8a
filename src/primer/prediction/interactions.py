"""Encodes pairs of a user and an item: DataFrames, arrays, dictionaries and lists of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from primer.batch import Batch
from primer.data.readers.cells import CellFormat, category_name
from primer.prediction.encoded import Encoded
from primer.prediction.tables import as_table, cell_text
from primer.spec import Interactions


def encode_interactions(kind: Interactions, inputs: Any) -> Encoded:
    """Encodes pairs of a user and an item. Those that training did not see have the index 0.

    Args:
        kind: the users and items of the model.
        inputs: a table with a column for each; see ``as_table``.
    """
    table = as_table(inputs, list(kind.names))
    errors: dict[int, str] = {}
    unseen: Counter[tuple[str, str]] = Counter()
    columns = []
    for name, names in zip(kind.names, (kind.users, kind.items), strict=True):
        known = {value: k for k, value in enumerate(names) if k}
        cells = [cell_text(cell) for cell in table[name]]
        missing = [k for k, cell in enumerate(cells) if CellFormat().is_missing(cell)]
        for k in missing:
            errors.setdefault(k, f"{name!r} is missing")
        cells = [category_name(cell) for cell in cells]
        unseen.update((name, cell) for k, cell in enumerate(cells) if cell not in known and k not in errors)
        columns.append([known.get(cell, 0) for cell in cells])
    pairs = torch.tensor(columns, dtype=torch.long).T
    keep = [k for k in range(len(pairs)) if k not in errors]
    return Encoded(Batch(pairs[keep]), len(pairs), errors, unseen=unseen)
