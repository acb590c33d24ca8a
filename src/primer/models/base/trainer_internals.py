"""Access to the training loop between two batches, and to the signal handlers and processes of a trainer.

Everything here relies on private names of Lightning; ``tests/models/base/test_trainer_internals.py`` checks that they
still exist.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping


def call_between_batches(trainer: L.Trainer, function: Callable[[], None]) -> None:
    """Calls a function before each training batch. Everything that belongs to the batch before, such as a validation,
    is complete then, and the next batch has not been fetched yet, as in no hook of Lightning."""
    loop = trainer.fit_loop.epoch_loop
    advance = loop.advance

    def call_and_advance(data_fetcher: Any) -> None:
        function()
        advance(data_fetcher)

    loop.advance = call_and_advance
    # With several processes, Lightning asks the main one before each batch whether it has received SIGTERM.
    loop._broadcast_sigterm_tensor = lambda: None


def is_resumable(trainer: L.Trainer) -> bool:
    """Returns whether Lightning continues exactly from a checkpoint that is saved now, between two batches: gradients
    are not being accumulated, and neither a validation nor the end of the epoch is between the batches."""
    loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    if not loop.batch_progress.current.completed or loop.batch_progress.is_last_batch or fetcher is None:
        return False
    return not loop._should_accumulate() and not loop._should_check_val_fx(fetcher)


def resume_by_epochs(trainer: L.Trainer) -> None:
    """Makes a run that is limited by ``max_steps`` resume in the same way as one that is limited by ``max_epochs``.
    Otherwise, Lightning regards even a checkpoint between two epochs as one within an epoch, and repeats its end."""
    trainer.fit_loop._iteration_based_training = lambda: False


def current_batch(trainer: L.Trainer) -> Any:
    """Returns the batch of the current step; None between two steps."""
    return trainer._results.batch if trainer._results is not None else None


def keep_signal_handlers(trainer: L.Trainer) -> None:
    """Keeps Lightning from handling SIGTERM. It still handles SLURM's signal to requeue a job."""
    connector = trainer._signal_connector
    register = connector.register_signal_handlers

    def register_others() -> None:
        handler = signal.getsignal(signal.SIGTERM)
        register()
        connector._register_signal(signal.SIGTERM, handler)

    connector.register_signal_handlers = register_others


def end_other_processes(trainer: L.Trainer) -> None:
    """Ends the processes that the main process has launched, which would wait for it forever."""
    launcher = trainer.strategy.launcher
    if launcher is not None and trainer.is_global_zero:
        launcher.kill(signal.SIGTERM)


def set_epochs(trainer: L.Trainer, epochs: int, batches: int) -> None:
    """Makes a trainer that has not trained count epochs and steps as at the end of an epoch, before it is completed.

    Args:
        trainer: of a run whose only optimizer steps after each batch.
        epochs: the number of epochs.
        batches: the number of batches in each.
    """
    loop, steps = trainer.fit_loop.epoch_loop, epochs * batches
    for progress, total, current in (
        (trainer.fit_loop.epoch_progress, epochs, epochs),
        (loop.batch_progress, steps, batches),
        (loop.automatic_optimization.optim_progress.optimizer.step, steps, batches),
        (loop.automatic_optimization.optim_progress.optimizer.zero_grad, steps, batches),
        (loop.val_loop.batch_progress, sum(trainer.num_val_batches), sum(trainer.num_val_batches)),
    ):
        for part, count in ((progress.total, total), (progress.current, current)):
            for name in vars(part):
                setattr(part, name, count)
    trainer.fit_loop.epoch_progress.total.completed -= 1
    trainer.fit_loop.epoch_progress.current.completed -= 1
    schedules = {config.interval for config in trainer.lr_scheduler_configs if not config.reduce_on_plateau}
    for part, number in ((loop.scheduler_progress.total, epochs), (loop.scheduler_progress.current, 1)):
        part.ready = part.completed = number * (batches if "step" in schedules else 1 if schedules else 0)
    loop._batches_that_stepped = steps
    loop.batch_progress.is_last_batch = True
    loop.val_loop.batch_progress.is_last_batch = bool(sum(trainer.num_val_batches))
    loader = trainer.train_dataloader
    loader.load_state_dict(loader.state_dict() | {"epoch": epochs - 1, "position": batches})  # type: ignore[union-attr]


def finish_epochs(trainer: L.Trainer) -> None:
    """Completes the epoch that ``set_epochs`` has set."""
    progress = trainer.fit_loop.epoch_progress
    progress.total.completed, progress.current.completed = progress.total.ready, progress.current.ready


def should_stop(callback: EarlyStopping, value: float, epoch: int) -> bool:
    """Returns whether a callback stops a run after an epoch, counted from 0, with a value of its metric."""
    stops, reason = callback._evaluate_stopping_criteria(torch.tensor(value))
    if stops:
        callback.stopped_epoch, callback.stopping_reason_message = epoch, reason
    return stops
