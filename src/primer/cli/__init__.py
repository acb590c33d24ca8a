"""The command line: compose a config, check it, and run the job. Nothing here imports torch."""

from primer.cli.main import job, run

__all__ = ["job", "run"]
