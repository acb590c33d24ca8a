"""``python -m primer report RUN``: renders the report of a run from the files in its folder, or that of a sweep."""

from __future__ import annotations

from pathlib import Path

from primer.records.jobs import read_jobs
from primer.reports.html import write_html


def report(source: str) -> str:
    """Writes ``report.html`` of a run folder and returns its path; of the folder of a sweep, writes its summary and
    returns its table.

    Raises:
        InputError: if the folder is neither that of a run nor that of a sweep.
    """
    folder = Path(source).expanduser()
    if read_jobs(folder):
        from primer.cli.summary import summarize

        return summarize(folder)
    return str(write_html(folder, redraw=True))
