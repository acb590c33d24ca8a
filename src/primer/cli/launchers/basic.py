"""Runs the jobs of a sweep one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus

from primer.cli.launchers.base import is_accepted


class Basic(BasicLauncher):
    """Runs the jobs one after the other in this process, as Hydra's own launcher does, except that a job with a mistake
    is rejected before it starts, and the others run. An interrupted job ends the sweep."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.config is not None
        assert self.hydra_context is not None
        returns: list[JobReturn] = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            if not is_accepted(self.hydra_context, self.config, overrides, number):
                returns.append(JobReturn(overrides, status=JobStatus.COMPLETED))  # Without a metric.
                continue
            result = super().launch([overrides], number)[0]
            _ = result.return_value  # Raises the exception of a job that could not be composed.
            returns.append(result)
        return returns
