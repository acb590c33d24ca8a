"""``python -m primer report RUN``: renders the report of a run from the files in its folder."""

from __future__ import annotations

from pathlib import Path

from primer.reports.html import write_html


def report(run: str) -> Path:
    """Writes ``report.html`` of a run folder and returns its path.

    Raises:
        InputError: if the folder is not a run folder.
    """
    return write_html(Path(run), redraw=True)
