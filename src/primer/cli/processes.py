"""The processes of a job of a sweep that runs on several devices.

Lightning starts them with the command of the main process, which is that of the whole sweep. Each job makes it the
command of that job alone, and leaves nothing behind for the next one, so that each job has processes of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import read_write

PART_OF_JOB = "PRIMER_JOB"
"""The environment variable that tells a process that it belongs to a job whose main process has checked the command."""

VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The environment variables by which Lightning tells the processes of a run apart."""


@contextmanager
def own_processes(folder: Path, overrides: Sequence[str], resume: str | None) -> Iterator[None]:
    """Lets Lightning start the other processes of a job with the command of that job.

    Args:
        folder: the run folder.
        overrides: the overrides of the job.
        resume: the run folder that it resumes from.
    """
    from hydra._internal.utils import get_args_parser
    from hydra.core.hydra_config import HydraConfig

    arguments, environment = sys.argv, {name: os.environ.get(name) for name in (*VARIABLES, PART_OF_JOB)}
    typed = get_args_parser().parse_known_intermixed_args()[0].overrides
    options = [text for text in arguments[1:] if text not in (*typed, "-m", "--multirun")]
    config: Any = HydraConfig.instance().cfg
    searched = [text for text in config.hydra.overrides.hydra if text.startswith("hydra.searchpath=")]
    resumed = [] if resume is None else [f"resume={resume}"]
    sys.argv = [arguments[0], *options, *searched, *overrides, *resumed]
    os.environ[PART_OF_JOB] = "1"
    with read_write(config.hydra):
        config.hydra.run.dir = str(folder)  # Lightning adds it to the command.
    try:
        yield
    finally:
        sys.argv = arguments
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if "torch" in sys.modules:
            import_module("primer.run.processes").leave_processes()
