"""Loggers that write metrics to the run folder."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from primer.errors import InputError
from primer.records.run_folder import write


class CSV(Logger):
    """Writes ``metrics.csv``, a row per epoch with the training and validation metrics.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self.rows: dict[int, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the config is already in the run folder."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        metrics = {key: value for key, value in metrics.items() if not key.startswith(("test/", "baseline/"))}
        if "epoch" not in metrics or len(metrics) == 1:
            return
        epoch = int(metrics.pop("epoch"))
        self.rows[epoch] = self.row(epoch, step, metrics)
        self._write()

    def row(self, epoch: int, step: int | None, metrics: dict[str, float]) -> dict[str, Any]:
        """Returns the row of an epoch with more metrics."""
        return self.rows.get(epoch, {}) | {"epoch": epoch, "step": step} | metrics

    def resume(self, source: Path, epoch: int, row: dict[str, Any]) -> None:
        """Continues the file of a run as it was in a checkpoint.

        Args:
            source: ``metrics.csv`` of that run, which may be this file or not exist.
            epoch: the epoch of the checkpoint; later rows are dropped.
            row: the row of that epoch, empty if it has none yet.
        """
        self.rows = {}
        if source.exists():
            with source.open(newline="") as file:
                self.rows = {int(line["epoch"]): dict(line) for line in csv.DictReader(file)}
        self.rows = {number: line for number, line in self.rows.items() if number < epoch}
        if row:
            self.rows[epoch] = row
        if self.rows:
            self._write()
        else:
            self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows.values() for key in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows[number] for number in sorted(self.rows))
        write(self.path, text.getvalue())


def tensorboard(folder: str, purge_step: int | None = None) -> TensorBoardLogger:
    """Returns a logger for TensorBoard.

    Args:
        folder: the run folder.
        purge_step: the step that a run is resumed from; TensorBoard does not show what was logged after it before.

    Raises:
        InputError: if tensorboard is not installed.
    """
    try:
        return TensorBoardLogger(save_dir=folder, name="", version="tensorboard", purge_step=purge_step)
    except ModuleNotFoundError:
        raise InputError("logger=tensorboard needs the package tensorboard: install primer[tensorboard]") from None
