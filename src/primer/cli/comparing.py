"""``python -m primer compare``: which settings of runs differ, and which run is better."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from primer.cli.arguments import split_arguments
from primer.errors import InputError
from primer.records import run_folder
from primer.records.console import console
from primer.records.runs import find_runs
from primer.reports.comparison import Comparison, compare, number, setting, to_csv
from primer.reports.comparison_page import page

USAGE = "python -m primer compare RUN RUN… [csv=FILE] [html=FILE]"
TEST_METRICS = ("test/accuracy", "test/entity_f1", "test/mase", "test/r2", "test/exact_match", "test/perplexity",
                "test/return", "test/loss")  # fmt: skip
"""The metrics of the test that the terminal shows, at most two. CSV and HTML files have all of them."""

FEW_RUNS = 5
"""The number of runs up to which each has a column in the table of settings."""


def compare_command(arguments: list[str]) -> str:
    """Runs the command.

    Args:
        arguments: the run folders or sweep folders, ``csv=FILE`` and ``html=FILE``.

    Returns:
        The text to print: the tables, and the files written.

    Raises:
        InputError: if there are fewer than two runs, or one cannot be read.
    """
    paths, files = split_arguments(arguments, ("csv", "html"), USAGE)
    runs = find_runs(paths) if paths else []
    if len(runs) < 2:
        raise InputError(f"compare needs at least two runs, or a sweep with two: {USAGE}")
    comparison = compare(runs)
    with console.capture() as printed:
        show(comparison)
    lines = [printed.get().rstrip()]
    for kind, name in files.items():
        file = Path(name).expanduser()
        run_folder.write(file, to_csv(comparison) if kind == "csv" else page(comparison))
        lines.append(f"{kind}: {file}")
    return "\n".join(lines)


def show(comparison: Comparison) -> None:
    """Prints the settings that differ, the runs and, if settings were repeated, means over the repetitions."""
    if comparison.differences:
        per_run = len(comparison.runs) <= FEW_RUNS
        table = _table("setting", *(map(str, range(1, len(comparison.runs) + 1)) if per_run else ["values"]))
        for name, values in comparison.differences.items():
            cells = [setting(name, value) for value in values]
            table.add_row(name, *(cells if per_run else [" | ".join(dict.fromkeys(cells))]))
        _print("settings that differ", table)
    columns = _columns(comparison)
    order = (
        f"best {comparison.goal.monitor.removeprefix('best/')} first"
        if comparison.goal
        else "in the given order: they have no common metric"
    )
    table = _table("", "overrides", *columns)
    for k, run in enumerate(comparison.runs, 1):
        label = [*comparison.own_overrides(run), *([] if run.finished else ["(not finished)"])]
        table.add_row(str(k), " ".join(label), *(number(run.metrics.get(name)) for name in columns))
    _print(f"runs, {order}", table)
    if comparison.repeated:
        columns = [name for name in columns if name != "best/epoch"]
        table = _table("runs", "overrides", *columns)
        for group in comparison.groups:
            cells = (number(group.mean(name), group.deviation(name)) for name in columns)
            table.add_row(str(group.count), group.label, *cells)
        _print("means ± standard deviations", table)
    for k, run in enumerate(comparison.runs, 1):
        console.print(f"{k}: {run.folder}", soft_wrap=True)


def _columns(comparison: Comparison) -> list[str]:
    known = comparison.metrics()
    first = [comparison.goal.monitor] if comparison.goal else []
    test = [name for name in TEST_METRICS if name in known][:2]
    return [name for name in dict.fromkeys([*first, "best/epoch", *test]) if name in known]


def _print(title: str, table: Table) -> None:
    console.print(title, style="bold", soft_wrap=True)
    console.print(table, "")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in (name.removeprefix("best/") for name in names):
        whole = "/" in name or name == "setting"
        table.add_column(name, overflow="fold", no_wrap=whole, min_width=len(name))
    return table
