"""Signals that end a command: SIGINT, SIGTERM, SIGHUP and SIGUSR2, which clusters send before they end a job.

A signal raises ``Interrupted`` at once, except during training: there it is deferred, so that the run can save a
checkpoint between two steps. A second signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from primer.errors import SIGNAL_WORDS, Interrupted

NOTHING_SAVED = "nothing was saved"


class SignalHandler:
    """Handles the signals of this process.

    Attributes:
        received: the first signal received; None if there was none.
        deferring: whether a signal is only recorded in ``received``.
        outcome: what a signal that is not deferred says about the results.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.deferring = False
        self.outcome = NOTHING_SAVED
        self.process = os.getpid()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handles signals, and restores the previous handlers at the end. A signal that is ignored stays ignored, such
        as SIGHUP under ``nohup``."""
        if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only.
            yield
            return
        self.__init__()
        numbers = [getattr(signal, name) for name in SIGNAL_WORDS if hasattr(signal, name)]
        previous = {number: signal.getsignal(number) for number in numbers}
        previous = {number: handler for number, handler in previous.items() if handler is not signal.SIG_IGN}
        try:
            for number in previous:
                signal.signal(number, self.handle)
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self.__init__()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if os.getpid() != self.process:  # A worker process: it ends with its parent, which may still need it.
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        if self.received is not None:
            os._exit(128 + number)
        self.received = signal.Signals(number)
        if not self.deferring:
            raise Interrupted(self.received, self.outcome)
        if os.isatty(2) and os.environ.get("LOCAL_RANK", "0") == "0":  # Not with print, which is not reentrant.
            os.write(2, f"{SIGNAL_WORDS[self.received.name]}: saving a checkpoint; again to end at once\n".encode())


signals = SignalHandler()
