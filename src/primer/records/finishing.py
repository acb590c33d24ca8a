"""What loggers record at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from primer.config.secrets import redact_strings


def finish(loggers: Sequence[Logger], config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Records the settings of a run next to its final metrics, and ends it.

    Args:
        loggers: the loggers of the run.
        config: the resolved config. TensorBoard's table of runs has a column for each setting, such as
            ``optimizer/lr``; Weights & Biases has received the config at the start.
        metrics: the final metrics.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(redact_strings(config), dict(metrics))
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
