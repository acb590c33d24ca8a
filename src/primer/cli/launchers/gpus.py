"""Gives each job of a sweep a GPU of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

_locks: list[int] = []
"""The lock of the GPU that this process uses."""


def gpus(visible: str | None = None) -> list[str]:
    """Returns the GPUs that jobs may use: those of ``CUDA_VISIBLE_DEVICES``, or else all that the driver lists."""
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    try:
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


def use_one_gpu(config: DictConfig, visible: str | None, number: int) -> None:
    """Makes this process see one GPU only, unless its job runs on the CPU or on several devices.

    Args:
        config: the config of the job.
        visible: ``CUDA_VISIBLE_DEVICES`` of the sweep; None if it is not set.
        number: the number of the job, by which jobs share GPUs if none is free.
    """
    if _locks:  # An earlier job of this process has chosen one.
        return
    if visible is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Submitit hides all GPUs.
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    settings = config.get("accelerator") or {}
    names = gpus(visible)
    if not names or settings.get("accelerator") == "cpu" or settings.get("devices", 1) not in (1, "auto"):
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = next(free_gpus(names), names[number % len(names)])


def free_gpus(names: Sequence[str]) -> Iterator[str]:
    """Yields the GPUs that no other job on this machine uses. Those yielded are in use until this process ends."""
    folder = Path(tempfile.gettempdir(), f"primer-gpus-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for name in names:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        _locks.append(descriptor)
        yield name
