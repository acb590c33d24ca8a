"""Training progress: a progress bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import math
import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from primer.records.console import console, is_main_process, say

MAX_WIDTH = 80
"""The length of the line that is printed after an epoch. All metrics are in metrics.csv."""


class Progress(ProgressBar):
    """Shows a progress bar during training, and prints the metrics after each epoch.

    The bar is updated at most ten times a second and shows no values from the device, so it never delays a step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bar: Bar | None = None
        self.task: Any = None
        self.drawn = self.began = 0.0
        self.best: float | None = None

    def disable(self) -> None:
        self.close()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = getattr(trainer.checkpoint_callback, "best_model_score", None)
        self.best = None if score is None else float(score)  # Of the epochs before a run was resumed.
        if console.is_terminal and is_main_process():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Bar(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=False)
            self.bar.start()
        self.on_train_epoch_start(trainer, pl_module)  # Lightning skips it when it resumes within an epoch.

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
        checkpoint = trainer.checkpoint_callback
        monitor = str(getattr(checkpoint, "monitor", None))
        metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith(("train/", "val/"))}
        value, sign = metrics.get(monitor), -1 if getattr(checkpoint, "mode", "min") == "max" else 1
        is_best = value is not None and math.isfinite(value) and (self.best is None or sign * value < sign * self.best)
        self.best = value if is_best else self.best
        say(epoch_line(_describe_epoch(trainer), metrics, monitor, is_best, time.monotonic() - self.began))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        """Removes the progress bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = self.task = None


def epoch_line(epoch: str, metrics: dict[str, float], monitor: str, is_best: bool, seconds: float) -> str:
    """Returns the line that is printed after an epoch: the epoch, the monitored metric, the losses, how long the
    epoch took, and as many other metrics as fit.

    Args:
        epoch: such as ``epoch 3/20``.
        metrics: the metrics of the epoch.
        monitor: the metric that selects the best checkpoint.
        is_best: whether this epoch is the best so far.
        seconds: how long the epoch took.
    """
    names = [name for name in dict.fromkeys(("train/loss", "val/loss", monitor, *metrics)) if name in metrics]
    cells = {name: f"{name} {metrics[name]:.4g}" for name in names}
    cells = {"": epoch, **cells, "best": "best" if is_best else "", "seconds": f"{seconds:.1f} s"}
    length, width, shown = -2, min(MAX_WIDTH, console.width), set()
    for name in dict.fromkeys(("", "best", monitor, "train/loss", "val/loss", "seconds", *cells)):
        if cells.get(name) and length + 2 + len(cells[name]) <= width:
            length += 2 + len(cells[name])
            shown.add(name)
    return "  ".join(cell for name, cell in cells.items() if name in shown)


def _describe_epoch(trainer: Trainer) -> str:
    last = trainer.max_epochs
    return f"epoch {trainer.current_epoch + 1}" + (f"/{last}" if last and last > 0 else "")
