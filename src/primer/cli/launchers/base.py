"""What launchers of several jobs at a time have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from primer.cli.checks import check_config
from primer.cli.launchers.gpus import gpus
from primer.cli.launchers.jobs import Outcome, RemoteJob
from primer.config.secrets import redact
from primer.errors import InputError
from primer.records.jobs import Job, own_overrides, read_job, write_job
from primer.records.signals import signals

OUTPUT = "output"
"""The folder in that of a sweep with what the jobs print."""


def is_accepted(
    context: HydraContext,
    config: DictConfig,
    overrides: Sequence[str],
    number: int,
    check: Callable[[DictConfig], None] | None = None,
) -> bool:
    """Returns whether a job composes and has no mistake. One that is rejected is recorded as failed.

    Args:
        context: how Hydra loads configs.
        config: the config of the sweep.
        overrides: the overrides of the job.
        number: its number.
        check: raises ``InputError`` if the launcher cannot run the job.
    """
    try:
        job = context.config_loader.load_sweep_config(config, list(overrides))
        check_config(job, job.hydra.job.config_name)
        if check is not None:
            check(job)
    except InputError as error:
        print(f"error: {redact(str(error))}", file=sys.stderr)
        reason = " ".join(str(error).split())
        record = Job(number, own_overrides(overrides), "failed", reason=reason, exit_status=2)
        write_job(Path(config.hydra.sweep.dir), record)
        return False
    return True


class ParallelLauncher(Launcher):
    """Runs the jobs in other processes. A job that is rejected or fails does not end the sweep."""

    package: ClassVar[str]
    extra: ClassVar[str | None] = None
    threads: int | None = None
    one_gpu = False
    redirects = True

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config
        if find_spec(self.package) is None:
            extra = self.extra or self.package
            raise InputError(f"hydra/launcher requires the package {self.package}: pip install 'primer[{extra}]'")
        self.check()

    def check(self) -> None:
        """Raises ``InputError`` if a setting is invalid, or the launcher cannot be used here."""

    def check_job(self, job: DictConfig) -> None:
        """Raises ``InputError`` if a job runs in several processes, which would be started with its command."""
        settings = job.get("accelerator") or {}
        devices = settings.get("devices", 1)
        if devices not in (1, "1", "auto") or settings.get("num_nodes", 1) != 1:
            name = self.config.hydra.runtime.choices["hydra/launcher"]
            raise InputError(
                f"accelerator.devices={devices}: hydra/launcher={name} runs each job on one device; basic does not"
            )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        sweep = Path(self.config.hydra.sweep.dir)
        (sweep / OUTPUT).mkdir(parents=True, exist_ok=True)
        returns = {
            number: JobReturn(overrides, status=JobStatus.COMPLETED)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        }
        jobs = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if is_accepted(self.context, self.config, overrides, number, self.check_job):
                output = sweep / OUTPUT / f"{number}.txt" if self.redirects else None
                arguments = (number, overrides, self.context, self.task, self.config)
                jobs.append(RemoteJob(*arguments, self.threads, self.one_gpu, output))
        signals.outcome = "jobs that were running keep their last checkpoint"
        if jobs:
            print(f"{len(jobs)} jobs, {self.describe()}; what they print: {sweep / OUTPUT}", flush=True)
        shared = set(job_overrides[0]).intersection(*job_overrides) if len(job_overrides) > 1 else set()
        for job, outcome in self.run(jobs, sweep / OUTPUT):
            record = read_job(sweep, job.number) or Job(job.number, own_overrides(job.overrides))
            if record.status in ("waiting", "running"):  # Its process has ended before it recorded anything else.
                record = replace(record, status="failed", reason=outcome.reason or "its process ended", exit_status=1)
                write_job(sweep, record)
            own = " ".join(text for text in own_overrides(job.overrides) if text not in shared)
            print(f"job {job.number} ({own}): {record.status}", flush=True)
            returns[job.number].return_value = outcome.value
        return list(returns.values())

    def describe(self) -> str:
        """Returns where the jobs run, for the first line that a sweep prints."""
        raise NotImplementedError

    def run(self, jobs: list[RemoteJob], output: Path) -> Iterator[tuple[RemoteJob, Outcome]]:
        """Runs jobs and yields each with its outcome as soon as it ends.

        Args:
            jobs: the jobs.
            output: the folder for what they print.
        """
        raise NotImplementedError


class LocalLauncher(ParallelLauncher):
    """Runs several jobs at a time on this machine.

    Args:
        n_jobs: the number of jobs at a time; ``auto`` is one per GPU, or one per core without GPUs.
        threads: the number of threads per job; ``auto`` divides the cores among the jobs.
        one_gpu: whether a job on one device sees only one GPU.
    """

    def __init__(
        self, n_jobs: int | Literal["auto"] = "auto", threads: int | Literal["auto"] = "auto", one_gpu: bool = True
    ) -> None:
        self.limits, self.one_gpu = {"n_jobs": n_jobs, "threads": threads}, one_gpu
        self.n_jobs = 1

    def check(self) -> None:
        for name, value in self.limits.items():
            if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"hydra.launcher.{name} must be a positive integer or auto, not {value!r}")
        n_jobs, threads = self.limits.values()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = len(gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))) if n_jobs == "auto" else 0
        self.n_jobs = int(n_jobs) if n_jobs != "auto" else count or cores
        self.threads = int(threads) if threads != "auto" else max(1, cores // self.n_jobs)

    def describe(self) -> str:
        return f"{self.n_jobs} at a time, threads of each: {self.threads}"
