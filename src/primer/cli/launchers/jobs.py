"""A job of a sweep that runs in another process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from primer.cli.launchers.gpus import use_one_gpu
from primer.errors import Interrupted
from primer.records.signals import signals

REQUEUE_SIGNAL = "SIGUSR2"
"""The signal by which submitit stops a job that is preempted or whose time is up."""


class Outcome(NamedTuple):
    """What a job returns from its process: the metrics to optimize, and why it ended early, if it did. Its status is in
    the folder of the sweep."""

    value: Any = None
    reason: str = ""


class RemoteJob:
    """A job of a sweep that can be sent to another process. Calling it there runs it and returns its outcome. If it has
    been cut off there, it continues from its last checkpoint.

    Args:
        number: the number of the job.
        overrides: its overrides.
        context, task, config: what Hydra runs it with.
        threads: the number of threads to use; None leaves it to the environment.
        one_gpu: whether the job uses one GPU, if it runs on one device.
        output: the file that receives what the job prints; None leaves it where it is.
    """

    def __init__(
        self,
        number: int,
        overrides: Sequence[str],
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
        threads: int | None = None,
        one_gpu: bool = False,
        output: Path | None = None,
    ) -> None:
        self.number, self.overrides, self.threads, self.one_gpu = number, list(overrides), threads, one_gpu
        self.context, self.task, self.config, self.output = context, task, config, output
        self.state = Singleton.get_state()
        self.visible_gpus = os.environ.get("CUDA_VISIBLE_DEVICES")

    def __call__(self) -> Outcome:
        requeue = signal.getsignal(getattr(signal, REQUEUE_SIGNAL, signal.SIGTERM))
        with contextlib.ExitStack() as stack:
            if self.output is not None:
                file = stack.enter_context(self.output.open("a", buffering=1))
                stack.enter_context(contextlib.redirect_stdout(file))
                stack.enter_context(contextlib.redirect_stderr(file))
            try:
                with signals.installed():
                    return Outcome(self.run())
            except Interrupted as interrupted:
                print(interrupted.message, file=sys.stderr)
                if not callable(requeue):
                    return Outcome(reason=interrupted.message)
                if interrupted.code == 128 + getattr(signal, REQUEUE_SIGNAL):
                    try:
                        requeue(getattr(signal, REQUEUE_SIGNAL), None)  # Queues the job again, and ends this process.
                    except Exception as error:
                        return Outcome(reason=f"{error} ({interrupted.message})")
                raise  # Without an outcome, since SLURM may queue the job again.
            except Exception as error:
                traceback.print_exc()
                return Outcome(reason=f"{type(error).__name__}: {error}")

    def run(self) -> Any:
        """Runs the job and returns the metrics to optimize."""
        setup_globals()
        Singleton.set_state(self.state)
        config = self.context.config_loader.load_sweep_config(self.config, self.overrides)
        with open_dict(config):
            config.hydra.job.id = f"{config.hydra.job.name}_{self.number}"
            config.hydra.job.num = self.number
        if self.threads is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))
        if self.one_gpu:
            use_one_gpu(config, self.visible_gpus, self.number)
        result = run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return result.return_value  # Raises the exception of a job that failed.

    def checkpoint(self) -> Any:
        """Returns what submitit runs when the job is queued again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
