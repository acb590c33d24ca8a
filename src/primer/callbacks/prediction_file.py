"""Writes the predictions of the test."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.loader import Loader
from primer.models.base import Model
from primer.prediction.predict import compute
from primer.prediction.predictions import Outcome, column_types, concatenate, decode, decode_targets
from primer.records.table_writer import TableWriter, check_format
from primer.reports.publish import gather_objects
from primer.spec import Classes, Sequence, Tags, Values


class PredictionFile(Callback):
    """Writes the target and the prediction of each sample of the test part, in the order of the part. ``predict``
    returns the same predictions for the same inputs.

    Does nothing for models without outputs or targets, and for next-token prediction.

    Args:
        path: the file; see ``primer.records.table_writer``.

    Raises:
        InputError: if the format of the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_format(self.path)
        self.outcomes: list[tuple[Outcome, Tensor, Tensor | None]] = []

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self.outcomes = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        target = pl_module.spec.target
        if not isinstance(outputs, Tensor) or not isinstance(target, Classes | Values | Tags | Sequence):
            return
        if batch.targets is None or len(batch.targets) != len(outputs):  # A model may see several views of a sample.
            return
        outcome = compute(pl_module, batch, outputs, pl_module.evaluation.predictions)
        self.outcomes.append((outcome, batch.targets.cpu(), batch.lengths))

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        gathered = gather_objects((self.outcomes, self._positions(trainer)))
        self.outcomes = []
        if not trainer.is_global_zero:
            return
        spec, predicted, parts, targets, order = pl_module.spec, pl_module.predicted, [], [], []
        for outcomes, rows in gathered:
            for (outcome, truth, lengths), positions in zip(outcomes, rows, strict=False):
                parts.append(decode(predicted, outcome, lengths, None))
                targets += decode_targets(spec, truth)
                order += positions
        if not parts:
            return
        predictions = concatenate(parts)
        cells = [
            [*(truth if isinstance(spec.target, Values) else [truth]), *row]
            for truth, row in zip(targets, predictions.cells(), strict=True)
        ]
        types = {name.replace("prediction", "target", 1): kind for name, kind in column_types(spec.target).items()
                 if name.startswith("prediction")} | predictions.types  # fmt: skip
        with TableWriter(self.path, types) as table:
            table.write([row for _, row in sorted(zip(order, cells, strict=True), key=lambda pair: pair[0])])

    def _positions(self, trainer: Trainer) -> list[list[int]]:
        """Returns the positions, in the test part, of the samples of each batch of this process."""
        loader: Any = trainer.test_dataloaders
        sizes = [len(truth) for _, truth, _ in self.outcomes]
        if not isinstance(loader, Loader):  # A loader of the user's, in its order.
            return [list(range(end - size, end)) for size, end in zip(sizes, accumulate(sizes), strict=True)]
        everything = torch.arange(loader.size)
        return [everything[rows].tolist() for rows in loader.batch_rows(0)] if sizes else []
