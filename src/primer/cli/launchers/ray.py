"""Runs the jobs of a sweep with Ray."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from primer.cli.launchers.base import ParallelLauncher
from primer.cli.launchers.jobs import Outcome, RemoteJob
from primer.errors import InputError


class Ray(ParallelLauncher):
    """Runs jobs on a Ray cluster, or on this machine.

    Args:
        address: the address of the cluster; None starts Ray on this machine.
        num_cpus, num_gpus, memory_gb: the resources of a job. ``auto`` is one GPU if the cluster has any.
        retries: how often a job whose node is lost is run again.
    """

    package = "ray"

    def __init__(
        self,
        address: str | None = None,
        num_cpus: float = 1,
        num_gpus: float | Literal["auto"] = "auto",
        memory_gb: float | None = None,
        retries: int = 1,
    ) -> None:
        self.address, self.num_cpus, self.num_gpus, self.retries = address, num_cpus, num_gpus, retries
        self.memory: dict[str, Any] = {} if memory_gb is None else {"memory": int(memory_gb * 2**30)}

    def describe(self) -> str:
        return f"on Ray{'' if self.address is None else f' at {self.address}'}, CPUs of each: {self.num_cpus:g}"

    def run(self, jobs: list[RemoteJob], output: Path) -> Iterator[tuple[RemoteJob, Outcome]]:
        import ray
        from ray.exceptions import RayError

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"hydra/launcher=ray cannot connect to {self.address}: {error}") from error
        try:
            has_gpu = ray.cluster_resources().get("GPU", 0) > 0
            resources: dict[str, Any] = {
                "num_cpus": self.num_cpus,
                "num_gpus": int(has_gpu) if self.num_gpus == "auto" else self.num_gpus,
                "max_retries": 0,  # A job that is run again has to continue from its checkpoint.
            }
            remote = ray.remote(**resources, **self.memory)(_run)
            running, losses = {remote.remote(job): job for job in jobs}, Counter[int]()
            while running:
                (ready, *_), _ = ray.wait(list(running))
                job = running.pop(ready)
                try:
                    yield job, ray.get(ready)
                except RayError as error:
                    losses[job.number] += 1
                    if losses[job.number] <= self.retries:
                        running[remote.remote(job)] = job
                    else:
                        yield job, Outcome(reason=f"{type(error).__name__}: {error}")
        finally:
            ray.shutdown()


def _run(job: RemoteJob) -> Outcome:
    return job()
