"""``python -m primer report RUN``: renders the report of a run from the files in its folder."""

from __future__ import annotations

import sys
from pathlib import Path

from primer.errors import InputError


def report(run: str) -> int:
    """Writes ``report.html`` of a run folder, prints its path, and returns the exit status."""
    from primer.reports.html import write_html

    try:
        print(write_html(Path(run), redraw=True))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
