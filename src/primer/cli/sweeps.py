"""Sweeps in which every job runs, whatever happens to the others, and which can be resumed.

Each job records its status in the folder of the sweep, from whatever process it runs in: see ``primer.records.jobs``.
A resumed sweep runs the same jobs; those that have ended return their recorded values at once.
"""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from primer.cli.checks import check_hydra
from primer.cli.composition import compose_checked, parse_override
from primer.cli.earlier_runs import last_value
from primer.cli.launchers import register_launchers
from primer.cli.processes import own_processes
from primer.config.fixed import override_value
from primer.config.secrets import redact
from primer.errors import InputError, PrunedError, TrainingCompleteError
from primer.records.console import is_main_process
from primer.records.jobs import Job, own_overrides, read_command, read_job, read_jobs, write_command, write_job

Metrics = dict[str, float]


def without_deletions(overrides: list[str]) -> list[str]:
    """Returns overrides in which those that delete a callback or a logger set it to null, since Hydra's sweepers cannot
    pass on deletions.

    Raises:
        InputError: if anything else is deleted.
    """
    return [_set_to_null(text) if text.startswith("~") else text for text in overrides]


def _set_to_null(text: str) -> str:
    path = text[1:].partition("=")[0]
    if path in ("callbacks", "logger"):
        return f"{path}=none"
    if path.count(".") == 1 and path.startswith(("callbacks.", "logger.")):
        return f"{path}=null"
    raise InputError(f"{text}: a sweep cannot delete a setting; set it to null, or leave it out of a file")


def resume_sweep(overrides: list[str]) -> list[str]:
    """Returns the overrides of a command, those of an earlier sweep if it has ``sweep.resume=DIR``.

    Raises:
        InputError: if there is no such sweep, or the command changes a setting of its jobs.
    """
    source = last_value([parse_override(text) for text in overrides], "sweep.resume")
    if source is None or source == "null":
        return overrides
    folder = Path(source).expanduser()
    recorded = read_command(folder)
    new = [text for text in overrides if text not in recorded and not text.startswith("sweep.resume=")]
    for text in new:
        if not text.lstrip("+").startswith(("hydra.", "hydra/")):
            raise InputError(f"sweep.resume={source}: a resumed sweep cannot change {text}: its jobs would differ")
    changed = {parse_override(text).key_or_group for text in new}
    kept = [text for text in recorded if parse_override(text).key_or_group not in changed]
    return [*kept, *new, f"sweep.resume={override_value(str(folder))}"]


def start_sweep(name: str, overrides: list[str]) -> tuple[Path, list[str]]:
    """Returns the folder of a sweep, and the overrides that fix it. Records the command, and registers the sweeper and
    the launchers.

    Raises:
        InputError: if the folder has another sweep, or the sweeper is not installed.
    """
    if any(text.lstrip("+").startswith("hydra/sweeper=optuna") for text in overrides) and not find_spec("optuna"):
        raise InputError("hydra/sweeper=optuna requires Optuna: pip install 'primer[sweeps]'")
    parsed = [parse_override(text) for text in overrides]
    single = [one.input_line or "" for one in parsed if not one.is_sweep_override()]
    resumed = last_value(parsed, "sweep.resume")
    hydra = compose_checked(name, single).hydra
    folder = Path(resumed or hydra.sweep.dir).absolute()
    check_hydra(OmegaConf.to_container(hydra))
    if str(hydra.sweeper.get("_target_", "")).startswith("primer."):
        Plugins.instance().register(import_module("primer.cli.optuna_sweeper").OptunaSweeper)
    register_launchers()
    command = [text for text in overrides if not text.startswith("sweep.resume=")]
    if is_main_process():
        if resumed is None and read_jobs(folder):
            raise InputError(f"{folder} has the jobs of another sweep: continue it with sweep.resume={folder}")
        if resumed is None:
            write_command(folder, command)
    command = [text for text in command if not text.startswith("hydra.sweep.dir=")]
    return folder, [*command, f"hydra.sweep.dir={override_value(str(folder))}"]


def finish_sweep(folder: Path, trained: bool = True) -> int:
    """Prints the summary of a sweep of training runs and writes its files, prints a line for each failed job, and
    returns the exit status of the sweep: 0 if none failed, 2 if all of those that failed were rejected, else 1."""
    if not is_main_process():
        return 0
    jobs = read_jobs(folder)
    if trained:
        from primer.cli.summary import summarize

        print(redact(summarize(folder)))
    shared = set(jobs[0].overrides).intersection(*(job.overrides for job in jobs)) if len(jobs) > 1 else set()
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        print(f"{len(failed)} of the jobs failed:", file=sys.stderr)
    for job in failed:
        own = " ".join(text for text in job.overrides if text not in shared)
        print(redact(f"  job {job.number} ({own}): {job.reason}"), file=sys.stderr)
    return min((job.exit_status for job in failed), default=0)


def run_job(
    cfg: DictConfig, announce: Callable[[], None], run: Callable[[], Metrics], seconds: float = 0.0
) -> float | list[float] | None:
    """Runs a job of a sweep and records its status. A job that has ended is not run again, and one that was cut off
    resumes from its last checkpoint.

    Args:
        cfg: the composed config.
        announce: prints which job it is.
        run: runs the job.
        seconds: the time that it has taken before.

    Returns:
        The metrics that the sweep optimizes; None if there are none, or the job failed.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    sweep, number = Path(hydra.sweep.dir), int(hydra.job.num)
    overrides = own_overrides(OmegaConf.to_container(hydra.overrides.task, resolve=False))  # type: ignore[arg-type]
    folder, earlier = Path(cfg.paths.output_dir), read_job(sweep, number)
    if earlier and earlier.ended:
        if earlier.overrides != own_overrides(overrides):
            raise InputError(f"{sweep} has another job {number}, with {' '.join(earlier.overrides)}")
        return _plain(earlier.values) if earlier.status == "done" else None
    if not is_main_process():  # Started by torchrun or srun.
        if earlier and earlier.resume:
            cfg.resume = earlier.resume
        return _optimized(run())
    job = Job(number, overrides, "running", str(folder), seconds=earlier.seconds if earlier else 0.0)
    if earlier and (folder / "checkpoints" / "last.ckpt").is_file() and "resume" in cfg:
        job = replace(job, resume=str(folder))
        cfg.resume = str(folder)
    elif earlier:
        shutil.rmtree(folder, ignore_errors=True)  # It saved nothing to resume from.
    write_job(sweep, job)
    announce()
    import_module("primer.run")  # Takes seconds, which the first job would have more than the others.
    start = time.perf_counter() - seconds
    task = [text for text in hydra.overrides.task if not text.startswith("resume=")]
    try:
        try:
            with own_processes(folder, task, cfg.get("resume")):
                metrics = run()
        except SystemExit as end:
            if not isinstance(end.__context__, TrainingCompleteError):
                raise
            shutil.rmtree(folder)
            print("note: the job was cut off while it was tested, so it starts again", file=sys.stderr)
            cfg.resume = None
            with own_processes(folder, task, None):
                metrics = run()
    except PrunedError as end:
        job, metrics = replace(job, status="pruned", reason=str(end), values=[end.value]), {}
        print(f"pruned: {end}")
    except SystemExit as end:
        if end.code not in (1, 2):  # Interrupted.
            write_job(sweep, replace(job, seconds=_seconds(job, start)))
            raise
        job = replace(job, status="failed", reason=getattr(end, "message", "see above"), exit_status=int(end.code))
    except Exception as error:
        traceback.print_exc()
        job = replace(job, status="failed", reason=f"{type(error).__name__}: {error}", exit_status=1)
    else:
        values = _optimized(metrics)
        job = replace(job, status="done", values=values)
    write_job(sweep, replace(job, seconds=_seconds(job, start), reason=_one_line(job.reason)))
    return _plain(job.values) if job.status == "done" else None


def _optimized(metrics: Metrics) -> list[float]:
    return [value for name, value in metrics.items() if name.partition("/")[0] == "optimized"]


def _plain(values: list[float]) -> float | list[float] | None:
    return values if len(values) > 1 else values[0] if values else None


def _seconds(job: Job, start: float) -> float:
    return round(job.seconds + time.perf_counter() - start, 3)


def _one_line(text: str) -> str:
    return " ".join(text.split())
