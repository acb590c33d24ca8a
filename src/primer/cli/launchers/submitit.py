"""Runs the jobs of a sweep with submitit, on this machine or with SLURM."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from primer.cli.launchers.base import LocalLauncher, ParallelLauncher
from primer.cli.launchers.jobs import Outcome, RemoteJob
from primer.errors import InputError

STOP_SECONDS = 60
"""How long a sweep that is interrupted waits for its jobs to save a checkpoint."""


class Submitit(ParallelLauncher):
    """Runs each job in a new process with submitit."""

    package, extra = "submitit", "sweeps"
    redirects = False
    interval = 0.2

    def submit(self, jobs: list[RemoteJob], output: Path) -> Iterator[dict[int, Any]]:
        """Submits jobs and yields those that submitit runs, by index, again and again, until all have ended."""
        raise NotImplementedError

    def run(self, jobs: list[RemoteJob], output: Path) -> Iterator[tuple[RemoteJob, Outcome]]:
        ended: set[int] = set()
        running: dict[int, Any] = {}
        try:
            for running in self.submit(jobs, output):
                for index, submitted in list(running.items()):
                    if submitted.done():
                        ended.add(index)
                        del running[index]
                        yield jobs[index], outcome_of(submitted)
                time.sleep(self.interval)
        finally:
            self.stop(list(running.values()))

    def stop(self, submitted: list[Any]) -> None:
        """Ends the jobs that are still running when the sweep is interrupted."""
        for one in submitted:
            one.cancel(check=False)


class SubmititLocal(LocalLauncher, Submitit):
    """Runs each job in a new process on this machine.

    Args:
        timeout_min: the maximum time of a job, in minutes.
        signal_delay_s: how long before that a job is stopped, in seconds.
        max_num_timeout: how often a job whose time is up continues from its last checkpoint.
    """

    def __init__(
        self, timeout_min: float = 10080, signal_delay_s: int = 120, max_num_timeout: int = 0, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.parameters = {"timeout_min": timeout_min, "signal_delay_s": signal_delay_s}
        self.max_num_timeout = max_num_timeout

    def submit(self, jobs: list[RemoteJob], output: Path) -> Iterator[dict[int, Any]]:
        import submitit

        executor = submitit.LocalExecutor(output / "%j", max_num_timeout=self.max_num_timeout)
        executor.update_parameters(**self.parameters)
        waiting = list(enumerate(jobs))
        running: dict[int, Any] = {}
        while waiting or running:
            while waiting and len(running) < self.n_jobs:
                index, job = waiting.pop(0)
                with interrupts_blocked():
                    running[index] = executor.submit(job)
            yield running

    def stop(self, submitted: list[Any]) -> None:
        for one in submitted:
            one._process.terminate()  # Submitit passes the signal on to the job, which saves a checkpoint.
        end = time.monotonic() + STOP_SECONDS
        while any(one._process.poll() is None for one in submitted) and time.monotonic() < end:
            time.sleep(self.interval)
        super().stop(submitted)


class SubmititSlurm(Submitit):
    """Submits the jobs to SLURM, as an array.

    Args:
        timeout_min, mem_gb, gpus_per_node, cpus_per_task: the resources of a job.
        nodes, tasks_per_node: its machines and the processes on each: ``accelerator.num_nodes`` and ``devices``.
        max_num_timeout: how often a job whose time is up is queued again.
        settings: other settings of submitit for SLURM, such as ``partition``.
    """

    interval = 5.0

    def __init__(
        self,
        timeout_min: float = 1440,
        mem_gb: float | None = 16,
        gpus_per_node: int | None = 1,
        cpus_per_task: int | None = 4,
        nodes: int = 1,
        tasks_per_node: int = 1,
        max_num_timeout: int = 3,
        **settings: Any,
    ) -> None:
        resources = {
            "timeout_min": timeout_min, "mem_gb": mem_gb, "gpus_per_node": gpus_per_node,
            "cpus_per_task": cpus_per_task, "nodes": nodes, "tasks_per_node": tasks_per_node, "name": "primer",
        }  # fmt: skip
        self.threads, self.max_num_timeout = cpus_per_task, max_num_timeout
        own = {
            key: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for key, value in settings.items()
        }
        self.parameters = {f"slurm_{key}": value for key, value in own.items() if value is not None} | {
            key: value for key, value in resources.items() if value is not None
        }

    def check(self) -> None:
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise InputError("hydra/launcher=submitit_slurm must be used where SLURM is: sbatch or srun is not found")

    def check_job(self, job: DictConfig) -> None:
        """Raises ``InputError`` unless there is a task for each process of a job."""
        settings = job.get("accelerator") or {}
        needed = {"nodes": settings.get("num_nodes", 1), "tasks_per_node": settings.get("devices", 1)}
        for name, number in needed.items():
            available = self.parameters[name]
            if number not in (available, str(available), "auto"):
                setting = "num_nodes" if name == "nodes" else "devices"
                raise InputError(f"accelerator.{setting}={number} requires hydra.launcher.{name}={number}")

    def describe(self) -> str:
        return "submitted to SLURM"

    def submit(self, jobs: list[RemoteJob], output: Path) -> Iterator[dict[int, Any]]:
        import submitit

        executor = submitit.AutoExecutor(output / "%j", cluster="slurm", slurm_max_num_timeout=self.max_num_timeout)
        executor.update_parameters(**self.parameters)
        with executor.batch():
            submitted = [executor.submit(job) for job in jobs]
        running = dict(enumerate(submitted))
        while running:
            yield running


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Blocks SIGINT, also in the processes started meanwhile: Ctrl+C reaches all processes of a terminal, but the sweep
    is the one to stop its jobs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outcome_of(submitted: Any) -> Outcome:
    """Returns the outcome of a job that submitit has run, even if its process was killed."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        return submitted.result()
    except (FailedJobError, UncompletedJobError) as error:
        log = Path(submitted.paths.stderr)
        lines = [line for line in str(error).splitlines() if line.strip()]
        return Outcome(reason=f"{lines[-1] if lines else 'the process ended'}; see {log}")
