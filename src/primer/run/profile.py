"""The table of a profiled run."""

from __future__ import annotations

import re

from lightning.pytorch.profilers import PassThroughProfiler, Profiler, SimpleProfiler

from primer.records.console import say, show_table

ROWS = 15
NAME_LENGTH = 38
"""Together with the columns of numbers, a row fits 80 columns."""


def show_profile(profiler: Profiler) -> None:
    """Prints the actions that took the most time, or where the report of another profiler is."""
    if isinstance(profiler, PassThroughProfiler):
        return
    if not isinstance(profiler, SimpleProfiler):
        say("profile: the report is in the log of the run")
        return
    totals = {name: sum(durations) for name, durations in profiler.recorded_durations.items() if durations}
    rows = {}
    for name in sorted(totals, key=totals.__getitem__, reverse=True)[:ROWS]:
        count = len(profiler.recorded_durations[name])
        rows[short(name)] = f"{totals[name]:8.2f} s = {count:6,} x {totals[name] / count * 1000:8.2f} ms"
    show_table("profile", rows)


def short(name: str) -> str:
    """Returns the name of an action without its settings and its kind, cut to fit a row."""
    name = re.sub(r"\{.*\}|^\[\w+\]", "", name)
    return name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}"
