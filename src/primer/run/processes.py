"""The other processes of a run on several devices, which Lightning starts with the same command.

``ProcessObserver`` relies on private names of Lightning; ``tests/run/test_processes.py`` checks that they still exist.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.strategies.launchers import subprocess_script

GRACE_SECONDS = 20.0
"""How long the main process may take to notice by itself that another one has ended, and to say so."""

LEAVE_SECONDS = 10.0
"""How long the other processes may take to end after the main one is done with a run."""


class ProcessObserver(_ChildProcessObserver):
    """Ends a run when one of its other processes has failed. Lightning kills the main process at once, before it can
    say why or go on with the next run. Here it is ended only if it still waits for the lost process after a while, as
    communication between GPUs does.

    Args:
        processes: the other processes.
        folder: the run folder.
        grace: how long the main process may take to notice by itself, in seconds.
    """

    def __init__(self, processes: list[subprocess.Popen[bytes]], folder: Path, grace: float = GRACE_SECONDS) -> None:
        super().__init__(os.getpid(), processes)
        self.folder, self.grace, self.left = folder, grace, threading.Event()

    def _terminate_all(self) -> None:
        for process in self._child_processes:
            process.kill()
        if self.left.wait(self.grace):
            return
        message = "error: another process of this run was killed or failed"
        if (self.folder / "checkpoints" / "last.ckpt").exists():
            message += f"; to continue from the last checkpoint: python train.py resume={self.folder}"
        os.write(2, f"{message}\n".encode())
        os._exit(1)

    def leave(self) -> None:
        """Ends the observation, and the processes that do not end by themselves."""
        self.left.set()
        for process in self._child_processes:
            try:
                process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._finished = True


_observers: list[ProcessObserver] = []
"""The observer of the current run, if it has other processes."""


def observe_processes(trainer: L.Trainer, folder: Path) -> None:
    """Observes the other processes that a trainer starts.

    Args:
        trainer: the trainer, before it starts them.
        folder: the run folder.
    """

    def observe(child_processes: list[subprocess.Popen[bytes]]) -> None:
        _observers.append(ProcessObserver(child_processes, folder))
        _observers[-1].start()

    if isinstance(trainer.strategy.launcher, subprocess_script._SubprocessScriptLauncher):
        setattr(subprocess_script, "_launch_process_observer", observe)  # noqa: B010


def leave_processes() -> None:
    """Ends the communication with the other processes of a run, so that another run can start its own."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    while _observers:
        _observers.pop().leave()
