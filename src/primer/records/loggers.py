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
        metrics = {key: value for key, value in metrics.items() if not key.startswith("test/")}
        if "epoch" not in metrics or len(metrics) == 1:
            return
        epoch = int(metrics.pop("epoch"))
        self._read()
        self.rows[epoch] = self.rows.get(epoch, {}) | {"epoch": epoch, "step": step} | metrics
        columns = list(dict.fromkeys(key for row in self.rows.values() for key in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows[epoch] for epoch in sorted(self.rows))
        write(self.path, text.getvalue())

    def _read(self) -> None:
        if not self.rows and self.path.exists():
            with self.path.open(newline="") as file:
                self.rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}


def wandb(
    folder: str,
    project: str = "primer",
    name: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
    config: dict[str, Any] | None = None,
) -> WandbLogger:
    """Returns a logger for Weights & Biases that also records the resolved config.

    Args:
        folder: the run folder.
        project, name, tags: identify the run in Weights & Biases.
        mode: ``auto`` is online if the user is logged in, and offline otherwise.
        config: the resolved config.

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
    )
    return WandbLogger(experiment=run, log_model=False)


def tensorboard(folder: str) -> TensorBoardLogger:
    """Returns a logger for TensorBoard.

    Raises:
        InputError: if tensorboard is not installed.
    """
    try:
        return TensorBoardLogger(save_dir=folder, name="", version="tensorboard")
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
