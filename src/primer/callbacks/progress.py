"""Training progress: a progress bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from primer.records.console import console, is_main_process, say


class Progress(ProgressBar):
    """Shows a progress bar during training, and prints the metrics after each epoch.

    The bar is updated at most ten times a second and shows no values from the device, so it never delays a step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar: Bar | None = None
        self.task: Any = None
        self.drawn = self.began = 0.0

    def disable(self) -> None:
        self.close()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if console.is_terminal and is_main_process():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Bar(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=False)
            self.bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.monotonic()
        if self.bar is not None:
            total = trainer.num_training_batches
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(_describe_epoch(trainer), total=None if total == float("inf") else total)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar is None:
            return
        now = time.monotonic()
        if now - self.drawn > 0.1:
            self.drawn = now
            self.bar.update(self.task, completed=batch_idx + 1)
            self.bar.refresh()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {k: v for k, v in trainer.callback_metrics.items() if k.startswith(("train/", "val/"))}
        values = "  ".join(f"{name} {value.item():.4g}" for name, value in metrics.items())
        say(f"{_describe_epoch(trainer)}  {values}  {time.monotonic() - self.began:.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Removes the progress bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = self.task = None


def _describe_epoch(trainer: Trainer) -> str:
    last = trainer.max_epochs
    return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last and last > 0 else "")
