"""Console output: rich tables and progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table

from primer.config.secrets import redact, redact_strings

console = Console(highlight=False)


def is_main_process() -> bool:
    """Whether this is the process that prints."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def say(text: str = "") -> None:
    """Prints a line, in the main process only."""
    if is_main_process():
        text = redact(text)
        if console.is_terminal:
            console.print(text, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)


def show_table(title: str, rows: dict[str, str]) -> None:
    """Prints a two-column table of names and values, in the main process only."""
    if not is_main_process() or not rows:
        return
    rows = redact_strings(rows)
    if console.is_terminal:
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column(style="cyan")
        table.add_column()
        for name, value in rows.items():
            table.add_row(name, value)
        console.print(table)
        return
    width = max(len(name) for name in rows)
    print(title)
    for name, value in rows.items():
        print(f"  {name:{width}}  {value}", flush=True)
