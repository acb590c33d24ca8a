"""Sweeps in which every job runs, whatever happens to the others."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from primer.cli.checks import check_config
from primer.config.secrets import redact
from primer.errors import InputError


class FailedJob(NamedTuple):
    """A job of a sweep that was rejected (status 2) or failed (status 1): its number, the overrides in which it differs
    from other jobs, and the reason."""

    number: int
    overrides: Sequence[str]
    reason: str
    status: int


failed_jobs: list[FailedJob] = []
"""The failed jobs of the sweep that this process runs."""


class Launcher(BasicLauncher):
    """Launches the jobs one after the other, as Hydra's own launcher does, except that a job that is rejected or fails
    does not end the sweep. An interrupted job does."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.config is not None
        assert self.hydra_context is not None
        shared = set(job_overrides[0]).intersection(*job_overrides) if len(job_overrides) > 1 else set()
        returns: list[JobReturn] = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            reason, status, result = "", 0, JobReturn(overrides, status=JobStatus.COMPLETED)
            try:
                config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
                check_config(config, config.hydra.job.config_name)
                result = super().launch([overrides], number)[0]
                _ = result.return_value  # Raises the exception of a job that failed.
            except InputError as error:
                reason, status = str(error), 2
                print(f"error: {redact(reason)}", file=sys.stderr)
            except SystemExit as end:
                if end.code not in (1, 2):
                    raise
                reason, status = getattr(end, "message", "see above"), int(end.code)
            except Exception as error:
                traceback.print_exc()
                reason, status = f"{type(error).__name__}: {error}", 1
            if status:
                own = [text for text in overrides if text not in shared]
                failed_jobs.append(FailedJob(number, own, " ".join(reason.split()), status))
                result = JobReturn(overrides, status=JobStatus.COMPLETED)  # Without a metric.
            returns.append(result)
        return returns


def launcher_override(overrides: Sequence[str]) -> list[str]:
    """Registers the launcher and returns the override that selects it, unless another one is selected."""
    if any(text.lstrip("+").startswith("hydra/launcher=") for text in overrides):
        return []
    Plugins.instance().register(Launcher)
    return [f"hydra.launcher._target_={Launcher.__module__}.{Launcher.__name__}"]


def report_failed_jobs() -> int:
    """Prints a line for each failed job, and returns the exit status of the sweep: 0 if there is none, 2 if all of them
    were rejected, else 1."""
    failed, failed_jobs[:] = list(failed_jobs), []
    if failed:
        print(f"{len(failed)} of the jobs failed:", file=sys.stderr)
    for job in failed:
        print(redact(f"  job {job.number} ({' '.join(job.overrides)}): {job.reason}"), file=sys.stderr)
    return min((job.status for job in failed), default=0)
