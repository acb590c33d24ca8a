"""The summary of a sweep: a table on the terminal, ``summary.csv``, ``summary.html`` and a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from primer.cli.comparing import TEST_METRICS
from primer.records import run_folder
from primer.records.console import console
from primer.reports.comparison import number
from primer.reports.sweep import Sweep, read_sweep, to_csv
from primer.reports.sweep_page import page
from primer.reports.sweep_pictures import draw_picture

MOST_ROWS = 40
"""The number of jobs up to which the terminal shows each. The files have all of them."""

FILE_WIDTH = 150
"""The width of a table in characters when it is not printed to a terminal."""


def summarize(folder: Path) -> str:
    """Writes the files of the summary into the folder of a sweep, and returns the text to print.

    Raises:
        InputError: if a file of the sweep cannot be read.
    """
    sweep = read_sweep(folder)
    output = console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH)
    with output.capture() as printed:
        show(sweep, output)
    lines = [printed.get().rstrip()]
    run_folder.write(folder / "summary.csv", to_csv(sweep))
    picture = draw_picture(sweep)
    if picture:
        run_folder.write(folder / "sweep.png", picture)
        lines.append(f"picture: {folder / 'sweep.png'}")
    run_folder.write(folder / "summary.html", page(sweep, picture))
    lines += [f"summary: {folder / 'summary.html'}", f"sweep: {folder}"]
    return "\n".join(lines)


def show(sweep: Sweep, output: Console) -> None:
    """Prints the jobs, best first, and means over seeds and folds if they were swept."""
    known = sweep.comparison.metrics() if sweep.comparison else []
    test = [name for name in TEST_METRICS if name in known][:2]
    metrics = [name for name in dict.fromkeys([sweep.goal, "best/epoch", *test]) if name in known]
    order = f"best {sweep.goal.removeprefix('best/')} first" if sweep.goal else "in the order of their numbers"
    output.print(f"\njobs of the sweep, {order}", style="bold", soft_wrap=True)
    table = _table("job", "overrides", "status", *(name for name in metrics if name), "seconds")
    for row in sweep.rows[:MOST_ROWS]:
        cells = [number(row.metric(name)) for name in metrics if name]
        table.add_row(str(row.job.number), sweep.label(row), row.status, *cells, f"{row.job.seconds:.1f}")
    output.print(table)
    if len(sweep.rows) > MOST_ROWS:
        output.print(f"and {len(sweep.rows) - MOST_ROWS} more in summary.csv")
    if sweep.comparison and sweep.comparison.repeated:
        output.print("\nmeans ± standard deviations", style="bold")
        columns = [name for name in metrics if name and name != "best/epoch"]
        table = _table("runs", "overrides", *columns)
        for group in sweep.comparison.groups:
            cells = [number(group.mean(name), group.deviation(name)) for name in columns]
            table.add_row(str(group.count), group.label, *cells)
        output.print(table)
    output.print()


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in (name.removeprefix("best/") for name in names):
        table.add_column(name, overflow="fold", no_wrap="/" in name, min_width=len(name))
    return table
