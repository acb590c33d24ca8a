"""What a sweep records about its jobs: ``jobs/<number>.json`` in its folder. This module does not import torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from primer.config.secrets import redact, redact_strings
from primer.errors import InputError
from primer.records.run_folder import write

JOBS, COMMAND = "jobs", "sweep.yaml"
"""The folder with a file for each job, and the file with the command, both in the folder of the sweep."""

INTERNAL = "callbacks.pruning"
"""Settings that the sweeper adds to a job."""

Status = Literal["waiting", "running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        number: its number, counted from 0.
        overrides: its overrides, without those that the sweeper adds.
        status: ``running`` also stands for a job that was cut off.
        folder: its run folder.
        reason: why it failed or was pruned.
        seconds: how long it took.
        values: the metrics that the sweep optimizes; for a pruned job, the last value of the monitored one.
        exit_status: the status that a command with this job alone would end with.
        resume: the run folder that it was resumed from.
    """

    number: int
    overrides: list[str]
    status: Status = "waiting"
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0
    values: list[float] = field(default_factory=list)
    exit_status: int = 0
    resume: str | None = None

    @property
    def ended(self) -> bool:
        """Whether a resumed sweep does not run the job again."""
        return self.status in ("done", "pruned")


def write_job(sweep: Path, job: Job) -> None:
    """Writes the record of a job, without secrets."""
    content = dataclasses.asdict(job) | {"overrides": redact_strings(job.overrides), "reason": redact(job.reason)}
    write(sweep / JOBS / f"{job.number}.json", json.dumps(content, indent=2) + "\n")


def read_job(sweep: Path, number: int) -> Job | None:
    """Reads the record of a job; None if there is none. Raises ``InputError`` if it cannot be read."""
    file = sweep / JOBS / f"{number}.json"
    if not file.is_file():
        return None
    try:
        return Job(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def read_jobs(sweep: Path) -> list[Job]:
    """Reads the records of all jobs, in the order of their numbers."""
    numbers = sorted(int(file.stem) for file in (sweep / JOBS).glob("*.json") if file.stem.isdecimal())
    return [job for number in numbers if (job := read_job(sweep, number))]


def own_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns overrides without those that the sweeper or the resuming adds."""
    return [text for text in overrides if not text.lstrip("+").startswith((INTERNAL, "resume="))]


def write_command(sweep: Path, overrides: Sequence[str]) -> None:
    """Writes the overrides of the command that started a sweep."""
    write(sweep / COMMAND, OmegaConf.to_yaml(OmegaConf.create({"overrides": redact_strings(list(overrides))})))


def read_command(sweep: Path) -> list[str]:
    """Reads the overrides of the command that started a sweep. Raises ``InputError`` if the folder has none."""
    file = sweep / COMMAND
    if not file.is_file():
        raise InputError(f"{sweep} is not the folder of a sweep: it has no {COMMAND}")
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(file))
        return [str(text) for text in content["overrides"]]
    except Exception as error:  # Each kind of damage raises a different exception.
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
