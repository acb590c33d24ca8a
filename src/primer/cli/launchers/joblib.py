"""Runs the jobs of a sweep with joblib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from primer.cli.launchers.base import LocalLauncher
from primer.cli.launchers.jobs import Outcome, RemoteJob
from primer.errors import RunError


class Joblib(LocalLauncher):
    """Runs jobs in processes that are reused from job to job."""

    package = "joblib"

    def run(self, jobs: list[RemoteJob], output: Path) -> Iterator[tuple[RemoteJob, Outcome]]:
        from joblib import Parallel, delayed, parallel_config
        from joblib.externals.loky.process_executor import BrokenProcessPool

        with parallel_config("loky", n_jobs=self.n_jobs, inner_max_num_threads=self.threads):
            parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")  # type: ignore[arg-type]
            try:
                for index, outcome in parallel(delayed(_numbered)(index, job) for index, job in enumerate(jobs)):  # type: ignore[misc]
                    yield jobs[index], outcome
            except BrokenProcessPool as error:
                raise RunError(
                    "a process of this sweep was killed, perhaps for its memory; hydra/launcher=submitit_local goes on "
                    "with the other jobs"
                ) from error


def _numbered(index: int, job: RemoteJob) -> tuple[int, Outcome]:
    return index, job()
