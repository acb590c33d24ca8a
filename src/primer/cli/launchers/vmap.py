"""Trains the models of a sweep together, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra.core.utils
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from primer.cli.checks import check_config
from primer.cli.launchers.basic import Basic
from primer.errors import InputError, Interrupted
from primer.records.jobs import COMMAND, read_job, read_jobs
from primer.records.run_folder import remove

if TYPE_CHECKING:
    from primer.run.members import Job
    from primer.run.replay import Trained


@dataclass
class Composed:
    """A job whose config is valid.

    Attributes:
        config: its config, with Hydra's own node.
        source: the run folder that it continues, if it was cut off.
        trained: the result of its training; None until then, or if it is trained by itself.
    """

    config: DictConfig
    source: str | None
    trained: Trained | None = None


class Vmap(Basic):
    """Trains all models together, and then finishes the jobs one after the other, as an ordinary sweep runs them, with
    the result instead of the training.

    Jobs that were cut off continue together if they have come equally far; otherwise, by themselves.

    Args:
        models: the number of models to train at a time; None trains all of them together.

    Raises:
        InputError: before anything is trained, if the jobs cannot be trained together.
    """

    def __init__(self, models: int | None = None) -> None:
        super().__init__()
        self.models = models

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        problem = None
        if "trainer" not in config:
            problem = "hydra/launcher=vmap: only training runs can run together; use hydra/launcher=basic"
        elif self.models is not None and (type(self.models) is not int or self.models < 1):
            problem = f"hydra.launcher.models must be a positive integer or null, not {self.models!r}"
        if problem:
            discard_sweep(Path(config.hydra.sweep.dir))
            raise InputError(problem)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = list(enumerate(job_overrides, initial_job_idx))
        size, returns = self.models or max(1, len(jobs)), list[JobReturn]()
        for start in range(0, len(jobs), size):
            chunk = jobs[start : start + size]
            composed = {number: job for number, overrides in chunk if (job := self.compose(number, overrides))}
            self.train(list(composed.values()))
            interrupted: Interrupted | None = None
            for number, overrides in chunk:
                job = composed.get(number)
                if interrupted and job and job.trained:  # What has been trained is saved.
                    job.trained.signal = interrupted.signal
                elif interrupted:
                    continue
                try:
                    returns.append(self.finish(job) if job else super().launch([overrides], number)[0])
                except Interrupted as end:
                    interrupted = end
            if interrupted:
                raise interrupted
        return returns

    def compose(self, number: int, overrides: Sequence[str]) -> Composed | None:
        """Composes the config of a job; None if the job has ended, or its config has a mistake."""
        assert self.config is not None
        assert self.hydra_context is not None
        folder = Path(self.config.hydra.sweep.dir)
        earlier = read_job(folder, number)
        if earlier and earlier.ended:
            return None
        try:
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            check_config(config, config.hydra.job.config_name)
        except InputError:
            return None
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
            config.paths.output_dir = str((folder / str(config.hydra.sweep.subdir)).absolute())
        was_saved = earlier and (Path(earlier.folder) / "checkpoints" / "last.ckpt").is_file()
        return Composed(config, earlier.folder if earlier and was_saved else None)

    def train(self, jobs: Sequence[Composed]) -> None:
        """Trains the models of some jobs."""
        assert self.config is not None
        if not jobs:
            return
        from primer.run.together import train_together

        try:
            results = train_together([resolve_job(job) for job in jobs])
        except InputError:
            discard_sweep(Path(self.config.hydra.sweep.dir))
            raise
        for job, trained in zip(jobs, results, strict=True):
            job.trained = trained

    def finish(self, job: Composed) -> JobReturn:
        """Runs a job with the result of its training."""
        from primer.cli.announcement import announce
        from primer.cli.main import run_one
        from primer.cli.sweeps import run_job

        assert self.hydra_context is not None
        trained = job.trained

        def task(cfg: DictConfig) -> float | list[float] | None:
            cfg.seed = trained.seed if trained else cfg.seed
            run = lambda: run_one(cfg, "primer.run.train", trained=trained)  # noqa: E731
            return run_job(cfg, lambda: announce(cfg), run, trained.seconds if trained else 0.0)

        result = hydra.core.utils.run_job(
            task_function=task,
            config=job.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.hydra_context,
        )
        _ = result.return_value  # Raises the exception of a job that could not be run.
        hydra.core.utils.configure_log(job.config.hydra.hydra_logging, job.config.hydra.verbose)
        return result


def resolve_job(job: Composed) -> Job:
    """Returns the resolved config of a job, and its overrides."""
    from primer.run.members import Job
    from primer.run.training import resolve

    HydraConfig.instance().set_config(job.config)
    typed: Any = OmegaConf.to_container(job.config.hydra.overrides.task, resolve=False)
    config = job.config.copy()
    with open_dict(config):
        del config["hydra"]
    return Job(resolve(config) | ({"resume": job.source} if job.source else {}), typed)


def discard_sweep(sweep: Path) -> None:
    """Deletes what a rejected sweep has written to its folder, unless it has run a job before."""
    for name in (COMMAND, "multirun.yaml") if not read_jobs(sweep) else ():
        remove(sweep / name)
    if sweep.is_dir() and not any(sweep.iterdir()):
        sweep.rmdir()
