"""The command line: composes a config, checks it and runs the job. Nothing here imports torch."""

from primer.cli.main import call, job, run

__all__ = ["call", "job", "run"]
