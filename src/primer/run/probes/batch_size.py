"""Measures training with one batch size after the other: the throughput, and the memory that it takes."""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning import Callback
from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error

from primer.batch import Batch
from primer.errors import InputError
from primer.records import run_folder
from primer.records.console import say, show_table
from primer.run.probes.brief import Probe

FIRST = 4
"""The first batch size; each of the next is twice the one before."""

SECONDS, MIN_BATCHES = 0.5, 3
"""How long each batch size is measured, after a first batch, and the least number of batches."""

MAX_STEPS = 1_000_000
"""More steps than fit in that time."""

FASTER = 1.05
"""The factor by which the throughput must rise for a larger batch size to be called faster."""


class Measurement(NamedTuple):
    """What was measured with one batch size.

    Attributes:
        batch_size: samples per batch.
        throughput: samples per second, of training steps with data loading.
        memory: the peak memory in bytes: of the GPU, or else of the process; None if unknown.
    """

    batch_size: int
    throughput: float
    memory: int | None


class Stopwatch(Callback):
    """Times batches after the first one, which sets up memory and kernels, and ends the run.

    Args:
        on_gpu: whether to wait for the GPU before the clock is read.
    """

    def __init__(self, on_gpu: bool) -> None:
        self.on_gpu = on_gpu
        self.samples, self.seconds = 0, 0.0
        self._started, self._batches = 0.0, 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._batches:
            self.samples += batch.size if isinstance(batch, Batch) else 0
            self.seconds = now - self._started
        else:
            self._started = now
        self._batches += 1
        trainer.should_stop = self._batches > MIN_BATCHES and self.seconds > SECONDS


def find_batch_size(probe: Probe) -> dict[str, float]:
    """Doubles the batch size until memory is full or a batch is the whole training part. Without a GPU, it also ends
    when twice in a row the throughput does not rise, since the memory of the computer must not fill up.

    Prints a table of the measurements, the largest batch size that fits, and the fastest one as an override.
    """
    data: Any = probe.datamodule
    configured, most = data.batch_size, data.sizes()["train"]
    found: list[Measurement] = []
    reason = "one batch is the whole training part"
    try:
        for size in batch_sizes(most):
            try:
                data.batch_size = size
                found.append(measure(probe, size))
            except (RuntimeError, InputError) as error:
                reason = "more does not fit in memory" if is_oom_error(error) else f"more is refused: {error}"
                if not found or not (isinstance(error, InputError) or is_oom_error(error)):
                    raise
                garbage_collection_cuda()
                break
            if len(data.train_dataloader()) == 1:
                break
            if not probe.on_gpu and not is_rising([one.throughput for one in found]):
                reason = ""
                break
    finally:
        data.batch_size = configured
    return report(probe, found, reason)


def batch_sizes(most: int) -> list[int]:
    """Returns the batch sizes to try: powers of 2, and ``most``."""
    sizes = []
    while (size := FIRST * 2 ** len(sizes)) < most:
        sizes.append(size)
    return [*sizes, most]


def is_rising(throughputs: list[float]) -> bool:
    """Whether one of the last two throughputs is clearly higher than all before; also with fewer than three."""
    return len(throughputs) < 3 or max(throughputs[-2:]) > FASTER * max(throughputs[:-2])


def fastest(found: list[Measurement]) -> Measurement:
    """Returns the smallest batch size whose throughput is within 5 % of the highest."""
    highest = max(one.throughput for one in found)
    return next(one for one in found if one.throughput * FASTER >= highest)


def measure(probe: Probe, size: int) -> Measurement:
    """Trains for a moment with one batch size."""
    if probe.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    stopwatch = Stopwatch(probe.on_gpu)
    probe.train(MAX_STEPS, stopwatch)
    return Measurement(size, stopwatch.samples / stopwatch.seconds, _peak_memory(probe))


def report(probe: Probe, found: list[Measurement], reason: str) -> dict[str, float]:
    """Prints and writes what was measured, and returns the results.

    Args:
        probe: the probe.
        found: at least one measurement.
        reason: why there is not a larger one; empty if the throughput did not rise.
    """
    memory = "of the GPU" if probe.on_gpu else "of the whole process"
    lines = ["batch_size,samples_per_second,peak_memory_bytes"]
    rows = {"": f"{'samples/s':>12}  {'ms/batch':>10}  peak memory {memory}"}
    for size, throughput, peak in found:
        used = "–" if peak is None else f"{peak / 2**20:,.0f} MiB"
        rows[f"{size:,}"] = f"{throughput:12,.0f}  {size / throughput * 1000:10,.2f}  {used:>11}"
        lines.append(f"{size},{throughput:.6g},{'' if peak is None else peak}")
    show_table("batch sizes", rows)
    run_folder.write(probe.folder / "batch_size.csv", "\n".join(lines) + "\n")
    best, largest = fastest(found), found[-1].batch_size
    if reason:
        say(f"largest that fits: data.batch_size={largest} ({reason})")
    else:
        say(f"batches of more than {largest} were not tried, since the throughput no longer rises")
    say("fastest, or within 5 % of it:")
    say(f"data.batch_size={best.batch_size}")
    return {"batch_size/fastest": best.batch_size, "batch_size/largest": largest}


def _peak_memory(probe: Probe) -> int | None:
    if probe.on_gpu:
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows.
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
