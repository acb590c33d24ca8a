"""Access to the training loop between two batches, and to the signal handlers and processes of a trainer.

Everything here relies on private names of Lightning; ``tests/models/base/test_trainer_internals.py`` checks that they
still exist.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import lightning as L


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
