"""One run owns its folder: no other run writes to it, neither at the same time nor later."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from primer.errors import InputError
from primer.records.console import is_main_process
from primer.records.run_folder import remove_temporary_files

RESULTS = ("config.yaml", "environment.json", "metrics.csv", "metrics.json", "checkpoints")
"""The files and folders by which the folder of an earlier run is recognized."""

LOCK = ".lock"


class FolderTakenError(InputError):
    """A folder belongs to another run."""


def owns_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a run, a function whose first argument is a config, so that it owns its folder while it runs."""

    @functools.wraps(function)
    def run(cfg: DictConfig, **arguments: Any) -> Any:
        with owned(Path(cfg.paths.output_dir), OmegaConf.select(cfg, "resume")):
            return function(cfg, **arguments)

    return run


@contextmanager
def owned(folder: Path, resume: str | None = None) -> Iterator[None]:
    """Makes this process the owner of a run folder.

    Args:
        folder: the run folder.
        resume: the run folder or checkpoint to resume from; the run continues its folder if that is inside of it.

    Raises:
        FolderTakenError: if another process owns the folder, or if it has results of a run that is not resumed.
    """
    if not is_main_process():
        yield
        return
    created = not folder.exists()
    try:
        with locked(folder):
            source = Path(resume).expanduser().resolve() if resume else None
            is_continued = source is not None and (source == folder.resolve() or folder.resolve() in source.parents)
            found = next((name for name in RESULTS if (folder / name).exists()), None)
            if found and not is_continued:
                raise FolderTakenError(
                    f"{folder} has {found} of another run: set hydra.run.dir to a new folder, or continue a training "
                    f"run with resume={folder}"
                )
            if is_continued:
                remove_temporary_files(folder)
            yield
    finally:
        if created and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder. The operating system releases it when the process ends, however it ends.

    Raises:
        FolderTakenError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows.
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # A lock of the process, unlike flock, is not inherited by workers, which may outlive it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise FolderTakenError(f"{folder} belongs to a run that is still running") from error
        except OSError:  # A file system without locks.
            pass
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            break
        os.close(descriptor)  # Another run has just ended and deleted this file.
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
