"""Explains in one line why a run failed if neither the program nor its numbers are at fault: the memory, the disk, a
process that was killed, or a combination of settings that Lightning rejects."""

from __future__ import annotations

import errno
import inspect
import os
import re
from collections.abc import Iterator
from types import FrameType, TracebackType

TOO_LARGE = re.compile(
    "can't allocate memory|not enough memory|out of memory|Storage size calculation overflowed|bad_alloc"
    "|Overflow when unpacking|array is too big|Maximum allowed dimension exceeded|multiplication overflow"
)
"""In messages of PyTorch and NumPy about tensors and arrays that do not fit in memory, or whose size does not fit in 64
bits."""

WRITE_FAILED = re.compile("PytorchStreamWriter failed|unexpected pos")
"""In messages of PyTorch about a file that cannot be written, which do not say why."""

PROCESS_LOST = re.compile("gloo/transport|ncclRemoteError|ncclSystemError|ncclInternalError")
"""In messages of PyTorch about a process that no longer answers. The cause is only known there."""

USER_ERRORS = {
    errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL,
    errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""Errors of a path that can be expected to fail again: another path has to be given."""


def explain(error: BaseException) -> tuple[str, int] | None:
    """Returns a line that explains why a run failed, and its exit status: 2 if a setting has to be changed, 1 if not.
    Returns None for any other exception, which is a fault of the program."""
    if type(error).__name__ == "MisconfigurationException":  # Lightning raises it for conflicting settings.
        return str(error), 2
    if isinstance(error, MemoryError) or TOO_LARGE.search(str(error)):
        return explain_memory(error)
    if isinstance(error, OSError) and error.errno is not None:
        return explain_system(error), 2 if error.errno in USER_ERRORS else 1
    if PROCESS_LOST.search(str(error)):
        return "another process of this run was killed or failed", 1
    if WRITE_FAILED.search(str(error)):
        return f"a file cannot be written, perhaps because the disk is full: {first_line(error)}", 1
    return None


def explain_memory(error: BaseException) -> tuple[str, int]:
    """Explains that there is not enough memory: for which layer or method, and how much is missing."""
    frames = list(traceback_frames(error.__traceback__))
    amount = re.search(r"allocate ([\d.]+) ?(bytes|[KMGTPE]iB)", str(error))
    size = f": it takes {readable(float(amount[1]), amount[2])}" if amount else ""
    if layer := next((name for frame in reversed(frames) if (name := describe_layer(frame))), None):
        return f"not enough memory for the layer {layer}{size}; choose smaller sizes in model", 2
    place = next((name for frame in reversed(frames) if (name := describe_method(frame))), "the run")
    return f"not enough memory in {place}{size}; try a smaller data.batch_size, model or data set", 1


def explain_system(error: OSError) -> str:
    """Explains an error of the operating system, such as a full disk."""
    reason = error.strerror or type(error).__name__
    if isinstance(error, FileExistsError | NotADirectoryError):
        reason = "it must be a directory, but is a file or within one"
    path = error.filename2 or error.filename
    return f"{os.fsdecode(path)}: {reason}" if isinstance(path, str | bytes) else reason


def traceback_frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    """Yields the frames of a traceback, from the outermost to the innermost."""
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def describe_layer(frame: FrameType) -> str | None:
    """Describes the layer that a frame constructs, such as ``Linear(in_features=2, out_features=3)``; None if it does
    not construct one of PyTorch's layers."""
    kind = type(frame.f_locals.get("self"))
    if frame.f_code.co_name != "__init__" or not kind.__module__.startswith("torch.nn."):
        return None
    arguments, *_ = inspect.getargs(frame.f_code)
    values = {name: frame.f_locals.get(name) for name in arguments}
    sizes = (f"{name}={value}" for name, value in values.items() if type(value) is int)
    return f"{kind.__name__}({', '.join(sizes)})"


def describe_method(frame: FrameType) -> str | None:
    """Describes the method of Primer that a frame runs, such as ``XOR.read``."""
    owner, name = frame.f_locals.get("self"), frame.f_globals.get("__name__", "")
    if owner is None or not name.startswith("primer.") or name.startswith("primer.cli."):
        return None
    return f"{type(owner).__name__}.{frame.f_code.co_name}"


def readable(number: float, unit: str) -> str:
    """Formats an amount of memory, such as ``3 GiB``."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    index = units.index(unit)
    while number >= 1024 and index < len(units) - 1:
        number, index = number / 1024, index + 1
    return f"{number:.3g} {units[index]}"


def first_line(error: BaseException) -> str:
    """Returns the first line of a message, to leave out the C++ stack."""
    return str(error).strip().splitlines()[0]
