"""Sends messages and warnings of libraries to the log of the run, without their advertising and without secrets."""

from __future__ import annotations

import logging

from primer.config.secrets import RedactingFormatter

NOISE = (
    "💡 Tip",  # Lightning advertises products.
    "_execution_whitelist_",  # Hydra's deprecation; the targets of a config are checked before Hydra sees them.
    "isinstance(treespec, LeafSpec)",  # A deprecation in PyTorch that concerns Lightning.
    "is smaller than the logging interval",  # Metrics are logged after each epoch.
    "does not have many workers",  # Data in memory needs none.
)
"""Parts of messages that are not logged."""


def redirect_library_logs() -> None:
    """Redirects messages and warnings of libraries to the handlers of the root logger, which Hydra sets to a file."""
    logging.captureWarnings(True)
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_wanted)
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter))


def is_wanted(record: logging.LogRecord) -> bool:
    """Whether a record is more than noise."""
    message = record.getMessage()
    return not any(text in message for text in NOISE)
