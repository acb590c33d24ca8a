"""The progress of a run: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from primer.records.console import console, is_main_process, say


class Progress(ProgressBar):
    """Shows how far the training is, and after each epoch its metrics.

    The bar moves at most ten times a second and shows nothing that lives on the device, so that no step waits for it.
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
            self.task = self.bar.add_task(_place(trainer), total=None if total == float("inf") else total)

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
        figures = "  ".join(f"{name} {value.item():.4g}" for name, value in metrics.items())
        say(f"{_place(trainer)}  {figures}  {time.monotonic() - self.began:.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = self.task = None


def _place(trainer: Trainer) -> str:
    last = trainer.max_epochs
    return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last and last > 0 else "")
