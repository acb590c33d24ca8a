"""Pairs of sequences from text files."""

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
    """Source and target pairs from tab-separated files, one pair per line. Other columns and empty lines are ignored;
    sources and targets are stripped of surrounding whitespace.

    Lines with the same source form one sample, so that no source occurs in two held-out parts. Its first target is the
    training target, and all its targets are references.

    Args:
        path: the training file. A relative path is looked up in ``data_dir``, then in the current folder.
        dev, test: the validation and test files. If one is missing, a fraction of the pairs is held out.
        level: whether a token is a ``character`` (including spaces) or a ``word`` (separated by whitespace).
        source_column, target_column: column numbers, from 1.
        header: whether the first line of each file names the columns.
        **kwargs: see ``primer.data.base.DataModule``.

    Raises:
        InputError: if ``level`` is unknown, or the columns are equal or less than 1; when the data is read, if a file
            is missing or malformed.
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
                f"source_column={source_column}, target_column={target_column}: must be different and at least 1"
            )
        self.files = {"train": path, "dev": dev, "test": test}
        self.level, self.columns, self.header = level, (source_column, target_column), header

    def read(self) -> dict[Part, Records]:
        hint = "data.path, data.dev and data.test name files of pairs"
        files = find_files(self.data_dir, hint, **self.files)
        return {part: read_pairs(path, self.level, self.columns, self.header) for part, path in files.items()}


def read_pairs(path: Path, level: str, columns: tuple[int, int] = (1, 2), header: bool = False) -> list[Any]:
    """Returns each source of a file with its distinct targets, in order of first occurrence.

    Raises:
        InputError: if the file cannot be read, has no pairs or is malformed, with the line.
    """
    tokenize, targets_of = LEVELS[level], {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or (header and number == 1):
            continue
        cells = line.split("\t")
        if len(cells) < max(columns):
            raise InputError(
                f"{path}, line {number}: {len(cells)} tab-separated column{'s' if len(cells) > 1 else ''}, but "
                f"data.source_column={columns[0]} and data.target_column={columns[1]} need {max(columns)}"
            )
        source, target = (cells[column - 1].strip() for column in columns)
        if not source or not target:
            raise InputError(f"{path}, line {number}: the {'target' if source else 'source'} is empty")
        targets_of.setdefault(tokenize(source), {})[tokenize(target)] = None
    if not targets_of:
        raise InputError(f"{path}, line {2 if header else 1}: the file has no pairs")
    return [(source, *targets) for source, targets in targets_of.items()]
