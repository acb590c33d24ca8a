"""How the loggers of a run end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from primer.config.secrets import redact_strings
from primer.records.mlflow import MLflow
from primer.records.wandb import WandB


@contextmanager
def ending_as_failed(loggers: Sequence[Logger]) -> Iterator[None]:
    """Ends the runs of trackers as failed if an exception or a signal ends the run."""
    try:
        yield
    except BaseException:
        for logger in loggers:
            if isinstance(logger, WandB | MLflow):
                logger.end(failed=True)
        raise


def finish(loggers: Sequence[Logger], config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Records the results of a complete run, and ends it.

    Args:
        loggers: the loggers of the run.
        config: the resolved config. TensorBoard's table of runs has a column for each setting, such as
            ``optimizer/lr``; Weights & Biases and MLflow have received the config at the start.
        metrics: the final metrics.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(redact_strings(config), dict(metrics))
        if isinstance(logger, WandB | MLflow):
            logger.log_results()
            logger.end(failed=False)
