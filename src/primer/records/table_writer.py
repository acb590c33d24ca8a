"""Writes tables row by row as CSV, JSON lines or Parquet. A file appears only once it is complete."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from primer.errors import InputError

SUFFIXES = (".csv", ".jsonl", ".parquet")


class TableWriter:
    """A context manager that writes to a temporary file and renames it in the end, or deletes it after an error.

    Args:
        path: the file; its suffix selects the format. In CSV, a list is written with spaces between its items.
        types: the columns, and the type of their cells: ``str``, ``int``, ``float`` or ``list`` (of strings). Any cell
            may be None.

    Raises:
        InputError: if the suffix is not in ``SUFFIXES``, the file cannot be written, or pyarrow is not installed.
    """

    def __init__(self, path: str | Path, types: Mapping[str, type]) -> None:
        self.path, self.types = Path(path), dict(types)
        check_format(self.path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._write = {".csv": self._open_csv, ".jsonl": self._open_jsonl, ".parquet": self._open_parquet}[
            self.path.suffix.lower()
        ]

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.write, self._close = self._write()
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            self._close()
            if kind is None:
                self.temporary.replace(self.path)
        finally:
            self.temporary.unlink(missing_ok=True)

    def _open_csv(self) -> tuple[Any, Any]:
        file = self.temporary.open("w", encoding="utf-8", newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.types)

        def write(rows: Sequence[Sequence[Any]]) -> None:
            writer.writerows([" ".join(cell) if isinstance(cell, list) else cell for cell in row] for row in rows)

        return write, file.close

    def _open_jsonl(self) -> tuple[Any, Any]:
        file = self.temporary.open("w", encoding="utf-8")

        def write(rows: Sequence[Sequence[Any]]) -> None:
            for row in rows:
                cells = (None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in row)
                file.write(json.dumps(dict(zip(self.types, cells, strict=True)), ensure_ascii=False) + "\n")

        return write, file.close

    def _open_parquet(self) -> tuple[Any, Any]:
        import pyarrow
        from pyarrow import parquet

        kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
        kinds[list] = pyarrow.list_(pyarrow.string())
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in self.types.items()])
        writer = parquet.ParquetWriter(self.temporary, schema)

        def write(rows: Sequence[Sequence[Any]]) -> None:
            columns = list(zip(*rows, strict=True)) or [()] * len(schema)
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        return write, writer.close


def check_format(path: Path) -> None:
    """Raises ``InputError`` if the format of a file cannot be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: the suffix selects the format; valid: {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InputError(f"{path}: Parquet requires the package pyarrow: install primer[predict]")
