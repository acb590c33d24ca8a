"""Stops training that has diverged."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer

from primer.records.console import say


class StopOnNaN(Callback):
    """Stops training after an epoch whose loss is not finite, and prints a message. The loss is checked once per epoch,
    since each check synchronizes with the device."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = trainer.callback_metrics.get("train/loss")
        if loss is not None and not loss.isfinite():
            trainer.should_stop = True
            say(
                f"stopped: train/loss is {loss.item()} in epoch {trainer.current_epoch + 1}; "
                "try a lower optimizer.lr or trainer.gradient_clip_val=1"
            )
