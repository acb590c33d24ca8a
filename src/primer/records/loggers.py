"""Loggers for metrics during a run."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from primer.errors import InputError
from primer.records.console import is_main_process
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


def wandb(
    folder: str,
    project: str = "primer",
    name: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
    config: dict[str, Any] | None = None,
    resumed: bool = False,
) -> WandbLogger:
    """Returns a logger for Weights & Biases that also records the resolved config.

    Args:
        folder: the run folder.
        project, name, tags: identify the run in Weights & Biases.
        mode: ``auto`` is online if the user is logged in, and offline otherwise.
        config: the resolved config.
        resumed: whether to continue the run in the folder, if there is one.

    Raises:
        InputError: if wandb is not installed.
    """
    try:
        import wandb as client
    except ImportError:
        raise InputError("logger=wandb needs the package wandb: install primer[wandb]") from None
    if not is_main_process():
        return WandbLogger()  # Lightning logs from the main process only.
    offline = mode == "offline" or (mode == "auto" and not _logged_in(client))
    Path(folder).mkdir(parents=True, exist_ok=True)
    run = client.init(
        project=project,
        name=name,
        tags=tags or [],
        dir=folder,
        mode="offline" if offline else "online",
        config=config or {},
        settings=client.Settings(silent=offline),
        **_continued_run(Path(folder)) if resumed else {},
    )
    return WandbLogger(experiment=run, log_model=False)


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


def _logged_in(client: Any) -> bool:
    mode = os.environ.get("WANDB_MODE")
    if mode in ("online", "offline", "disabled"):
        return mode == "online"
    try:
        return bool(client.login(prompt=False))
    except client.errors.Error:
        return False


def _continued_run(folder: Path) -> dict[str, Any]:
    """Returns the arguments of ``wandb.init`` that continue the latest run in a folder."""
    folders = sorted(folder.glob("wandb/*run-*-*"), key=lambda path: path.name.split("run-", 1)[1])
    return {"id": folders[-1].name.rsplit("-", 1)[1], "resume": "allow"} if folders else {}
