"""Pairs of sequences from files of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from primer.data.base import Part, Records
from primer.data.readers.lines import find_files, read_lines
from primer.data.text.pairs import Pairs
from primer.errors import InputError

LEVELS: dict[str, Callable[[str], Any]] = {"character": str, "word": lambda text: tuple(text.split())}


class PairFiles(Pairs):
    """Files with a pair on each line, a source and its target in columns between tabs; further columns and empty lines
    are passed over. Spaces around a source or a target do not count.

    A source may stand on several lines with several targets: it is one sample then, whose targets are all right; the
    first is learnt. So no source is in two parts where parts are held out.

    Args:
        path: the pairs. A relative path is looked up in ``data_dir``, then in the current folder.
        dev, test: files for validation and for the test. Without one, a share of the pairs is held out.
        level: whether a token is a ``character``, spaces among them, or a ``word``, which spaces set apart.
        source_column, target_column: where they stand, from 1.
        header: whether the first line of each file names the columns.
        kwargs: what every data set takes.

    Raises:
        ValueError: for an unknown level, or columns that are the same or under 1; when the data is read, for a file
            that is missing or malformed.
    """

    def __init__(
        self,
        *,
        path: str,
        dev: str | None = None,
        test: str | None = None,
        level: Literal["character", "word"] = "character",
        source_column: int = 1,
        target_column: int = 2,
        header: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if level not in LEVELS:
            raise InputError(f"level must be one of {', '.join(LEVELS)}, not {level!r}")
        if min(source_column, target_column) < 1 or source_column == target_column:
            raise InputError(
                f"source_column={source_column}, target_column={target_column}: must be two columns, counted from 1"
            )
        self.files = {"train": path, "dev": dev, "test": test}
        self.level, self.columns, self.header = level, (source_column, target_column), header

    def read(self) -> dict[Part, Records]:
        wanted = "data.path, data.dev and data.test name files of pairs"
        files = find_files(self.data_dir, wanted, **self.files)
        return {part: parse(path, self.level, self.columns, self.header) for part, path in files.items()}


def parse(path: Path, level: str, columns: tuple[int, int] = (1, 2), header: bool = False) -> list[Any]:
    """Each source of a file with its different targets, in the order in which they first stand there.

    Raises:
        InputError: for a file that cannot be read or holds no pair, with the line where it is malformed.
    """
    tokens, found = LEVELS[level], {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or (header and number == 1):
            continue
        cells = line.split("\t")
        if len(cells) < max(columns):
            raise InputError(
                f"{path}, line {number}: {len(cells)} {'columns' if len(cells) > 1 else 'column'} between tabs, where "
                f"data.source_column={columns[0]} and data.target_column={columns[1]} need {max(columns)}"
            )
        source, target = (cells[column - 1].strip() for column in columns)
        if not source or not target:
            raise InputError(f"{path}, line {number}: the {'target' if source else 'source'} is empty")
        found.setdefault(tokens(source), {})[tokens(target)] = None
    if not found:
        raise InputError(f"{path}, line {2 if header else 1}: there is no pair in this file")
    return [(source, *targets) for source, targets in found.items()]
